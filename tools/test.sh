#!/bin/sh
# npm test: everything. Not being root skips what needs root, loudly.
#   npm test                          all
#   npm test -- unit root             some groups (see tools/run-tests.mjs)
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ]; then
  sh tools/install.sh build run test bench package
else
  echo 'NOT ROOT: tests that need root will be skipped' >&2
  sh tools/install.sh build run test bench package || echo 'something is not installed; going on with what is here' >&2
fi
sh tools/build.sh
PATH=$PWD/node_modules/.bin:$PATH
export PATH
exec node tools/run-tests.mjs "$@"
