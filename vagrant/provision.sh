#!/bin/sh
# What a Debian 12 machine has before anybody types the README's commands: an administrator's tools,
# and nothing that `make setup` installs. Runs as root: in a chroot while the base image is built
# (image.sh), or by Vagrant in a machine made from a public box.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends \
    ca-certificates dbus git ifupdown iproute2 iputils-ping isc-dhcp-client kmod less linux-image-amd64 \
    make openssh-server procps rsync sudo systemd-sysv udev
