#!/usr/bin/env bash
# Builds a machine's disk from Debian packages: image.sh OUTPUT MIRROR APT PUBLIC_KEY
#
#   OUTPUT      a directory; gets disk.img (ext4, no partitions), vmlinuz and initrd.img
#   MIRROR      a Debian archive for the first packages
#   APT         a directory with the apt sources and settings that the machine will have
#   PUBLIC_KEY  the ssh key that may log in as the user `vagrant`
set -euo pipefail

# All mounts are in a namespace that ends with this script, however it ends.
if [ -z "${IN_NAMESPACE:-}" ]; then
    IN_NAMESPACE=1 exec unshare --mount --propagation private --pid --fork --kill-child -- "$0" "$@"
fi

output=$1 mirror=$2 apt=$3 public_key=$4
here=$(dirname "$(realpath "$0")")
root=$output/root
trap 'umount -R "$root/proc" "$root/sys" 2>/dev/null || true; rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror"

rm -f "$root/etc/apt/sources.list"
cp -r "$apt/." "$root/etc/apt/"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d" # no service starts in a chroot
chmod +x "$root/usr/sbin/policy-rc.d"
cp "$here/provision.sh" "$root/tmp/"
chroot "$root" /tmp/provision.sh
rm "$root/usr/sbin/policy-rc.d" "$root/tmp/provision.sh"
chroot "$root" apt-get clean
umount "$root/sys" "$root/proc"

# The user that Vagrant logs in as.
chroot "$root" useradd --create-home --shell /bin/bash --groups sudo vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/vagrant"
install -d -m 700 "$root/home/vagrant/.ssh"
install -m 600 "$public_key" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh

# Names by slot (eth0, eth1, eth2) come with net.ifnames=0; the first card is for management.
echo icelane > "$root/etc/hostname"
printf '127.0.0.1 localhost icelane\n::1 localhost\n' > "$root/etc/hosts"
printf 'source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n' > "$root/etc/network/interfaces"
printf 'auto eth0\niface eth0 inet dhcp\n' > "$root/etc/network/interfaces.d/eth0"
rm -f "$root/etc/resolv.conf" # the DHCP client makes its own
echo '/dev/vda / ext4 defaults 0 1' > "$root/etc/fstab"
: > "$root/etc/machine-id" # each machine makes its own at its first start

cp "$root"/boot/vmlinuz-* "$output/vmlinuz"
cp "$root"/boot/initrd.img-* "$output/initrd.img"
truncate --size 12G "$output/disk.img"
mkfs.ext4 -q -L root -d "$root" "$output/disk.img"
