#!/bin/sh
# Builds everything: protocol code, native code, TypeScript, bundles. What is up to date is left alone.
# Any Node from 20 on can build; node_modules/.bin/node (the pinned 24) is used once npm has put it there.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH NX_DAEMON=false NX_NO_CLOUD=true NX_TUI=false

node tools/generate-protocol.mjs
# Nx keeps the outputs of each package's "native" script by a hash of its inputs; silent when all are kept.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! nx run-many -t native --parallel=2 >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
node node_modules/typescript/bin/tsc -b
node tools/bundle.mjs
