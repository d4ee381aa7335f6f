#!/bin/sh
# npm run cluster: three nodes on this machine, each in a network namespace of its own, one cluster, a small stack.
#   npm run cluster               until Ctrl-C, which leaves nothing
#   npm run cluster -- --once     shows, cleans up, exits
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo 'npm run cluster needs root: hosts are made of network namespaces (try: sudo npm run cluster)' >&2
  exit 1
fi
sh tools/install.sh build run
sh tools/build.sh
# exec: Ctrl-C and exit code are the cluster's own.
exec node_modules/.bin/node tools/cluster.mjs "$@"
