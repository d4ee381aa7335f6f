#!/bin/sh
# Makes what the virtual machine boots: a disk with this build of Gantry, beside what make-boot.sh makes.
#   make-guest.sh DIRECTORY
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
sh "$here/make-boot.sh" "$out" overlay veth bridge nf_tables nft_chain_nat nft_masq nft_nat nft_ct \
  nft_fib_inet nft_reject_inet nft_hash nft_limit nft_numgen nft_compat

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
