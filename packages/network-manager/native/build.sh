#!/bin/sh
# Builds the addon into GANTRY_NATIVE_DIR, or <root>/build/native. GANTRY_NATIVE_FLAGS: more compiler flags (sanitizers).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out="${GANTRY_NATIVE_DIR:-$root/build/native}"
objects="$out/.network-manager"
mkdir -p "$out" "$objects"

flags="-std=c++20 -O2 -fPIC -Wall -Wextra -Werror -fvisibility=hidden ${GANTRY_NATIVE_FLAGS:-}"
includes="-I$root/packages/native-support/include"

made=""
for source in "$here"/core/*.cc; do
  object="$objects/$(basename "$source" .cc).o"
  # shellcheck disable=SC2086
  g++ $flags $includes -c "$source" -o "$object"
  made="$made $object"
done
# shellcheck disable=SC2086
g++ $flags $includes -isystem "$root/node_modules/node-api-headers/include" -isystem "$root/node_modules/node-addon-api" \
  -DNAPI_CPP_EXCEPTIONS -DNAPI_VERSION=9 -c "$here/binding.cc" -o "$objects/binding.o"
temporary="$out/.network-manager.$$.node"
# shellcheck disable=SC2086
g++ -shared ${GANTRY_NATIVE_FLAGS:-} $made "$objects/binding.o" -lnftables -pthread -o "$temporary"
mv "$temporary" "$out/network-manager.node"
