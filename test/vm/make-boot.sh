#!/bin/sh
# Makes what a virtual machine boots before its disk: kernel and initramfs.
#   make-boot.sh DIRECTORY MODULE...
# The kernel is Debian's cloud kernel, unpacked and never installed; it is kept in build/vm between runs.
set -eu
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
kernel=$root/build/vm/kernel
# Two machines may be made at once.
mkdir -p "$root/build/vm"
exec 9> "$root/build/vm/lock"
flock 9

if [ ! -e "$kernel/done" ]; then
  rm -rf "$kernel"
  mkdir -p "$kernel/deb"
  image=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  [ -n "$image" ] || { echo 'apt knows no linux-image-cloud-amd64: run apt-get update' >&2; exit 1; }
  (cd "$kernel/deb" && apt-get download -q "$image" 2>/dev/null)
  dpkg -x "$kernel"/deb/*.deb "$kernel"
  depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
  touch "$kernel/done"
fi
version=$(ls "$kernel/lib/modules")
cp "$kernel/boot/vmlinuz-$version" "$out/vmlinuz"

# Initramfs: busybox, the modules in the order they want, the script that goes over to the disk.
ramfs=$out/initramfs
mkdir -p "$ramfs/bin" "$ramfs/modules" "$ramfs/proc" "$ramfs/sys" "$ramfs/dev" "$ramfs/disk"
cp /bin/busybox "$ramfs/bin/"
cp "$here/guest-boot.sh" "$ramfs/init"
chmod +x "$ramfs/init"
for module in virtio_pci virtio_blk "$@"; do
  modprobe -d "$kernel" -S "$version" --show-depends "$module" | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$ramfs/modules/"
  basename "$file" >> "$ramfs/modules/order"
done
(cd "$ramfs" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$out/initramfs.gz"
