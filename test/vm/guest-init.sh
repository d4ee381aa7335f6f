#!/bin/sh
# pid 1 on the disk: a machine with nothing but cgroup v2.
export PATH=/gantry/bin:/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts -o ptmxmode=666
mount -t tmpfs shm /dev/shm
ip link set lo up
/guest-checks
echo "guest: done"
poweroff -f
