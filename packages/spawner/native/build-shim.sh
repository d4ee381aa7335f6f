#!/bin/sh
# The static shim: musl where it is installed (smaller, less private memory), else the system's C library.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=$1
version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$here/../package.json")
triplet=$(gcc -dumpmachine)
flags="-std=gnu11 -Os -static -s -Wall -Wextra -Werror -D_GNU_SOURCE -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,noseparate-code"
if command -v musl-gcc >/dev/null 2>&1; then
  set -- musl-gcc -idirafter /usr/include -idirafter "/usr/include/$triplet"
else
  set -- gcc
fi
# shellcheck disable=SC2086
"$@" $flags "-DGANTRY_SHIM_VERSION=\"$version\"" ${GANTRY_SHIM_FLAGS:-} "$here"/shim/*.c -o "$output.$$"
mv -f "$output.$$" "$output"
