#!/bin/sh
# Builds the addon and the shim into <root>/build/native, or into the directory given, each written aside and renamed.
# GANTRY_ADDON_FLAGS and GANTRY_SHIM_FLAGS are added to the compilers' flags.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=${1:-"$root/build/native"}
mkdir -p "$out"
g++ -std=c++20 -O2 -fPIC -shared -Wall -Wextra -Werror -fno-plt -pthread \
  -DNAPI_CPP_EXCEPTIONS -DNAPI_VERSION=9 ${GANTRY_ADDON_FLAGS:-} \
  -isystem "$root/node_modules/node-api-headers/include" -isystem "$root/node_modules/node-addon-api" \
  -I "$root/packages/native-support/include" -I "$here" \
  "$here/binding.cc" "$here"/core/*.cc -lseccomp -o "$out/spawner.node.$$"
mv -f "$out/spawner.node.$$" "$out/spawner.node"
sh "$here/build-shim.sh" "$out/gantry-shim"
