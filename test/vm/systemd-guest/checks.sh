#!/bin/sh
# Runs the tests on the machine itself; what they say goes to the console, where systemd.test.ts reads it.
mkdir -p /dev/shm /tmp /var/tmp
mount -t tmpfs -o mode=1777 tmp /tmp
ip link set lo up
printf '\nguest: kernel=%s\n' "$(uname -r)"
printf '\nguest: init=%s\n' "$(cat /proc/1/comm)"
# systemd enables what its own units want; the tests ask for all.
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done
judge() {
  start=$(date +%s)
  /gantry/lib/node --test-reporter=tap "/gantry/test/vm/$1.mjs" > "/tmp/$1.tap" 2>&1 < /dev/null
  echo "$(($(date +%s) - start))" > "/tmp/$1.seconds"
}
# Two processors: two lanes.
(judge limits; judge apparmor) &
(judge systemd; judge rootless)
wait
for name in limits apparmor systemd rootless; do
  printf '\nguest: group=%s\n' "$name"
  cat "/tmp/$name.tap"
  printf '\nguest: seconds=%s %s\n' "$name" "$(cat "/tmp/$name.seconds")"
done
printf '\nguest: done\n'
poweroff -f
