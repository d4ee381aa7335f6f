#!/bin/sh
# Makes a disk for the virtual machine on which systemd is the first process, beside what make-boot.sh makes: gantry-oci and
# crun, the programs that judge them, a bus, AppArmor's parser and newuidmap.
#   make-systemd-guest.sh DIRECTORY
# What the machine itself has is taken from it; Debian's packages of the others are unpacked and never installed.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=$root/build/vm/packages
sh "$here/make-boot.sh" "$out" overlay loop

exec 9> "$root/build/vm/lock"
flock 9
if [ ! -e "$packages/done" ]; then
  rm -rf "$packages"
  mkdir -p "$packages/deb"
  (cd "$packages/deb" && apt-get download -q apparmor uidmap libsubid4 2>/dev/null)
  for package in "$packages"/deb/*.deb; do dpkg -x "$package" "$packages"; done
  touch "$packages/done"
fi
flock -u 9

disk=$out/disk
for directory in bin sbin etc/apparmor.d root run tmp proc sys dev var/lib usr/bin usr/sbin usr/lib/systemd \
  lib/systemd/system lib/x86_64-linux-gnu gantry/bin gantry/lib gantry/build gantry/test/vm; do
  mkdir -p "$disk/$directory"
done
cp /bin/busybox "$disk/bin/"
for applet in $(/bin/busybox --list); do [ -e "$disk/bin/$applet" ] || ln -s busybox "$disk/bin/$applet"; done

# systemd and its bus.
cp /lib/systemd/systemd "$disk/lib/systemd/"
ln -s /lib/systemd/systemd "$disk/sbin/guest-init"
mkdir -p "$disk/usr/share" "$disk/etc/systemd/system" "$disk/etc/systemd/user" "$disk/usr/share/dbus-1"
cp /usr/share/dbus-1/system.conf /usr/share/dbus-1/session.conf "$disk/usr/share/dbus-1/"
cp -r /usr/share/dbus-1/system.d "$disk/usr/share/dbus-1/"
cp "$here"/systemd-guest/*.service "$here"/systemd-guest/*.socket "$here"/systemd-guest/*.target "$disk/etc/systemd/system/"
cp "$here"/systemd-guest/user/* "$disk/etc/systemd/user/"
printf '%032d\n' 7 > "$disk/etc/machine-id"

# gantry-oci as built here, the Node it runs on, and the tests, each in one file where it looks for the others.
cp "$root/bin/gantry-oci" "$disk/gantry/bin/"
cp -r "$root/build/gantry-oci" "$root/build/native" "$disk/gantry/build/"
cp "$(readlink -f "$root/node_modules/.bin/node")" "$disk/gantry/lib/node"
bundle() {
  "$root/node_modules/.bin/esbuild" "$1" --bundle --platform=node --format=esm --outfile="$2" --log-level=error \
    --banner:js="import { createRequire as guestRequire } from 'node:module'; const require = guestRequire(import.meta.url);"
}
for name in limits systemd rootless apparmor; do bundle "$here/dist/guest/$name.js" "$disk/gantry/test/vm/$name.mjs"; done

cp /usr/bin/crun /usr/bin/busctl /usr/bin/dbus-daemon /usr/bin/setpriv /usr/bin/nsenter "$disk/usr/bin/"
cp "$packages/usr/bin/newuidmap" "$packages/usr/bin/newgidmap" "$disk/usr/bin/"
chmod u+s "$disk/usr/bin/newuidmap" "$disk/usr/bin/newgidmap"
cp "$packages/sbin/apparmor_parser" "$disk/sbin/"
cp "$here/systemd-guest/guest.apparmor" "$disk/etc/apparmor.d/guest"
for binary in "$disk"/gantry/lib/node "$disk"/usr/bin/* "$disk"/sbin/apparmor_parser "$disk"/lib/systemd/systemd \
  "$disk"/gantry/build/native/*; do
  LD_LIBRARY_PATH=$packages/usr/lib/x86_64-linux-gnu ldd "$binary" 2>/dev/null || true
done | awk '/=> \// { print $3 } /^\t\/lib/ { print $1 }' | sort -u | while read -r library; do
  place=$disk${library#"$packages"}
  mkdir -p "$(dirname "$place")"
  cp -L "$library" "$place"
done

cp "$here/systemd-guest/checks.sh" "$disk/guest-checks"
chmod +x "$disk/guest-checks"
cat > "$disk/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
messagebus:x:100:100::/:/bin/false
alice:x:1000:1000::/:/bin/sh
END
printf 'root:x:0:\nmessagebus:x:100:\nalice:x:1000:\n' > "$disk/etc/group"
echo 'alice:100000:65536' | tee "$disk/etc/subuid" > "$disk/etc/subgid"
mke2fs -q -t ext4 -d "$disk" "$out/disk.img" 900M
