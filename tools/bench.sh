#!/bin/sh
# npm run bench: Gantry beside crun, runc and podman on this machine; writes docs/benchmarks.md.
#   npm run bench -- spawner          one family of rows, writes nothing
#   npm run bench -- --quick          few repetitions, writes nothing
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo 'npm run bench needs root: containers are made of mounts, namespaces and cgroups (try: sudo npm run bench)' >&2
  exit 1
fi
sh tools/install.sh build run test bench
sh tools/build.sh
# exec: Ctrl-C and exit code are the benchmark's own.
exec node_modules/.bin/node test/bench/dist/main.js "$@"
