#!/bin/sh
# npm start: installs what is missing, builds, then shows one node at work (deploy/demo).
#   npm start               until Ctrl-C
#   npm start -- --once     shows, cleans up, exits
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo 'npm start needs root: containers are made of mounts, namespaces and cgroups (try: sudo npm start)' >&2
  exit 1
fi
sh tools/install.sh build run
sh tools/build.sh
# exec: Ctrl-C and exit code are the demo's own.
exec node_modules/.bin/node deploy/demo/dist/main.js "$@"
