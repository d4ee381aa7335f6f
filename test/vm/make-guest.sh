#!/bin/sh
# Makes what the virtual machine boots: kernel, initramfs and a disk with this build of Gantry.
#   make-guest.sh DIRECTORY
# The kernel is Debian's cloud kernel, unpacked and never installed; it is kept in build/vm between runs.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
kernel=$root/build/vm/kernel

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
for module in virtio_pci virtio_blk overlay veth bridge nf_tables nft_chain_nat nft_masq nft_nat nft_ct \
  nft_fib_inet nft_reject_inet nft_hash nft_limit nft_numgen nft_compat; do
  modprobe -d "$kernel" -S "$version" --show-depends "$module" | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$ramfs/modules/"
  basename "$file" >> "$ramfs/modules/order"
done
(cd "$ramfs" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$out/initramfs.gz"

# Disk: busybox, Gantry as built here, the Node it runs on, nats-server, and the libraries of all of them.
disk=$out/disk
mkdir -p "$disk/bin" "$disk/sbin" "$disk/etc" "$disk/root" "$disk/run" "$disk/tmp" "$disk/proc" "$disk/sys" "$disk/dev" \
  "$disk/var/lib" "$disk/usr/sbin" "$disk/gantry/bin" "$disk/gantry/lib" "$disk/gantry/build"
cp /bin/busybox "$disk/bin/"
for applet in $(/bin/busybox --list); do [ -e "$disk/bin/$applet" ] || ln -s busybox "$disk/bin/$applet"; done
cp "$root"/bin/gantry "$root"/bin/gantryd "$disk/gantry/bin/"
cp -r "$root/build/gantry" "$root/build/gantryd" "$root/build/native" "$disk/gantry/build/"
cp "$(readlink -f "$root/node_modules/.bin/node")" "$disk/gantry/lib/node"
cp "$(PATH=$PATH:/usr/sbin command -v nats-server)" "$disk/usr/sbin/"
for binary in "$disk"/gantry/lib/node "$disk"/usr/sbin/nats-server "$disk"/gantry/build/native/*; do
  ldd "$binary" 2>/dev/null || true
done | awk '/=> \// { print $3 } /^\t\/lib/ { print $1 }' | sort -u | while read -r library; do
  mkdir -p "$disk$(dirname "$library")"
  cp -L "$library" "$disk$library"
done
cp "$here/guest-init.sh" "$disk/sbin/guest-init"
cp "$here/guest-checks.sh" "$disk/guest-checks"
chmod +x "$disk/sbin/guest-init" "$disk/guest-checks"
echo 'root:x:0:0:root:/root:/bin/sh' > "$disk/etc/passwd"
echo 'root:x:0:' > "$disk/etc/group"
echo 'nameserver 127.0.0.1' > "$disk/etc/resolv.conf"
mv "$out/image.tar" "$disk/image.tar"
mke2fs -q -t ext4 -d "$disk" "$out/disk.img" 900M
