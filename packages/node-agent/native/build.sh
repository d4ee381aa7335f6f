#!/bin/sh
# Builds <root>/build/native/node-agent.node (the addon) and <root>/build/native/gantry-init.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out="$root/build/native"
mkdir -p "$out"
temporary="$out/.node-agent.$$.node"
# shellcheck disable=SC2086
g++ -std=c++20 -O2 -fPIC -shared -Wall -Wextra -Werror -fvisibility=hidden ${GANTRY_NATIVE_FLAGS:-} \
  -I"$root/packages/native-support/include" \
  -isystem "$root/node_modules/node-api-headers/include" -isystem "$root/node_modules/node-addon-api" \
  -DNAPI_CPP_EXCEPTIONS -DNAPI_VERSION=9 "$here/core.cc" "$here/binding.cc" -o "$temporary"
mv "$temporary" "$out/node-agent.node"

# gantry-init runs inside containers: static, with musl where it is installed.
compiler=gcc
if command -v musl-gcc >/dev/null 2>&1; then compiler=musl-gcc; fi
"$compiler" -std=gnu11 -Os -static -s -Wall -Wextra -Werror "$here/init/init.c" -o "$out/.gantry-init.$$"
chmod 0755 "$out/.gantry-init.$$"
mv "$out/.gantry-init.$$" "$out/gantry-init"
