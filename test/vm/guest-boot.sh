#!/bin/busybox sh
# First program of the virtual machine: load modules, go over to the disk.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
# Some modules are for processors that are not here.
while read -r module; do /bin/busybox insmod "/modules/$module" 2>/dev/null; done < /modules/order
/bin/busybox mount -t ext4 /dev/vda /disk
/bin/busybox mount --move /dev /disk/dev
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /disk /sbin/guest-init
