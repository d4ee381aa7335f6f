#!/bin/sh
# Builds the addon into <root>/build/native/cgroup-supervisor.node; does nothing when it is newer than its sources.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out="$root/build/native/cgroup-supervisor.node"
mkdir -p "$root/build/native"
if [ -f "$out" ] && [ -z "$(find "$here" "$root/packages/native-support/include" -type f -newer "$out")" ]; then
  exit 0
fi
temporary="$out.$$"
trap 'rm -f "$temporary"' EXIT
# shellcheck disable=SC2086
"${CXX:-g++}" -std=c++20 -O2 -fPIC -shared -pthread -Wall -Wextra -Werror -fvisibility=hidden ${GANTRY_NATIVE_FLAGS:-} \
  -DNAPI_CPP_EXCEPTIONS -DNAPI_VERSION=9 \
  -I"$root/packages/native-support/include" \
  -isystem "$root/node_modules/node-api-headers/include" -isystem "$root/node_modules/node-addon-api" \
  "$here"/*.cc -o "$temporary"
mv "$temporary" "$out"
