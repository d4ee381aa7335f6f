#!/bin/sh
# npm run package: builds, then makes build/gantry_<version>_<architecture>.deb. See deploy/README.md.
set -eu
cd "$(dirname "$0")/.."
sh tools/install.sh build run package
sh tools/build.sh
exec node_modules/.bin/node tools/package/build.mjs "$@"
