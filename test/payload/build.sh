#!/bin/sh
# Builds the payload as a static program without a C library from outside the container.
set -eu
cd "$(dirname "$0")"
output=../../build/native/gantry-test-payload
mkdir -p "$(dirname "$output")"
musl-gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -s -o "$output.new" payload.c inspect.c agents.c
mv "$output.new" "$output"
