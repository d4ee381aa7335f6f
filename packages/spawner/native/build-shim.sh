#!/bin/sh
# The static shim: musl where it is installed (smaller, less private memory), else the system's C library.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=$1
version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$here/../package.json")
triplet=$(gcc -dumpmachine)
flags="-std=gnu11 -Os -static -s -Wall -Wextra -Werror -D_GNU_SOURCE -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,noseparate-code"
flags="$flags -fno-asynchronous-unwind-tables -fno-unwind-tables"
# Linked in this order: what a running shim needs comes last and together, the rest is given back once the process runs (pages.c).
serving="$here/shim/pages.c $here/shim/serve.c $here/shim/clients.c $here/shim/input.c $here/shim/log.c $here/shim/json_text.c $here/shim/oom.c $here/shim/record.c"
starting=$(for file in "$here"/shim/*.c; do case " $serving " in *" $file "*) ;; *) echo "$file" ;; esac; done)
if command -v musl-gcc >/dev/null 2>&1; then
  set -- musl-gcc -idirafter /usr/include -idirafter "/usr/include/$triplet"
else
  set -- gcc
fi
# shellcheck disable=SC2086
"$@" $flags "-DGANTRY_SHIM_VERSION=\"$version\"" ${GANTRY_SHIM_FLAGS:-} $starting $serving -Wl,-T,"$here/shim.ld" -o "$output.$$"
mv -f "$output.$$" "$output"
