# A system of its own: systemd as process 1, with files of its own where the units expect theirs.
#   boot.sh DIRECTORY ICELANE
# DIRECTORY has `units` and `etc`; ICELANE is an environment, which is installed as version `test`.
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/systemd /run/lock /run/upper/etc /run/upper/opt /run/work/etc /run/work/opt /run/state
for each in etc opt; do
    mount -t overlay -o "lowerdir=/$each,upperdir=/run/upper/$each,workdir=/run/work/$each" overlay "/$each"
done
mount -t tmpfs -o mode=0755 tmpfs /var/lib/private
mkdir -p /opt/icelane /etc/icelane
ln -s "$2" /opt/icelane/test
systemd-sysusers "$1/icelane.sysusers.conf"
systemd-tmpfiles --create "$1/icelane.tmpfiles.conf"
cp "$1"/etc/* /etc/icelane/
chgrp icelane /etc/icelane/keys.toml
chmod 0640 /etc/icelane/keys.toml
export container=lxc SYSTEMD_UNIT_PATH="$1/units"
exec /lib/systemd/systemd --system --show-status=no --log-target=console --log-level=notice
