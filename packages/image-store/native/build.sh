#!/bin/sh
# Builds the addon into <root>/build/native/image-store.node, or into GANTRY_NATIVE_DIR; does nothing when it is newer than
# its sources. GANTRY_NATIVE_FLAGS adds flags, for instance -fsanitize=address.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
directory="${GANTRY_NATIVE_DIR:-$root/build/native}"
out="$directory/image-store.node"
mkdir -p "$directory"
if [ -f "$out" ] && [ -z "$(find "$here" "$root/packages/native-support/include" -type f -newer "$out")" ]; then
  exit 0
fi
temporary="$out.$$"
trap 'rm -f "$temporary"' EXIT
# shellcheck disable=SC2086
"${CXX:-g++}" -std=c++20 -O2 -fPIC -shared -pthread -Wall -Wextra -Werror -fvisibility=hidden ${GANTRY_NATIVE_FLAGS:-} \
  -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DNAPI_CPP_EXCEPTIONS -DNAPI_VERSION=9 \
  -I"$root/packages/native-support/include" \
  -isystem "$root/node_modules/node-api-headers/include" -isystem "$root/node_modules/node-addon-api" \
  "$here"/*.cc -o "$temporary" -larchive -lisal -lzstd -lnettle
mv "$temporary" "$out"
