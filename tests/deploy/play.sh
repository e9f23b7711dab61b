#!/usr/bin/env bash
# Plays the manifests for podman on this host's loopback, and places a call through them:
#   play.sh ICELANE IMAGE
set -euo pipefail
# What podman mounts and makes ends with this namespace of mounts.
[ -n "${IN_NAMESPACE:-}" ] || IN_NAMESPACE=1 exec unshare --mount --propagation private -- "$0" "$@"
icelane=$1 image=$2 port=26399
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d /var/tmp/icelane-play.XXXX)
play() { podman --runtime "$here/runtime.py" "$@"; }
end() {
    play kube down "$work/play.yaml" > "$work/down.log" 2>&1 || true
    redis-cli -p "$port" shutdown nosave > "$work/redis.log" 2>&1 || true
    umount -R "$work/cgroup" 2> /dev/null || true
    rm -rf --one-file-system "$work"
}
trap end EXIT

# Podman wants a directory of every controller, which a host with some of them (cgroup v1) may lack.
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir "$work/cgroup"
    mount --rbind /sys/fs/cgroup "$work/cgroup"
    mount -t tmpfs cgroup /sys/fs/cgroup
    for each in "$work"/cgroup/*/; do
        own=/sys/fs/cgroup/$(basename "$each")
        mkdir "$own"
        ! mountpoint -q "$each" || mount --rbind "$each" "$own"
    done
    mkdir -p /sys/fs/cgroup/{net_cls,net_prio,perf_event,hugetlb}
fi

mkdir "$work/keys"
"$icelane" keys new "$work/keys/keys.toml" > /dev/null
chown -R 10001:10001 "$work/keys"
chmod 0711 "$work"
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" --daemonize yes > /dev/null
kubectl kustomize "$here/../../docs/deploy/kubernetes/podman" \
    | sed "s#/etc/icelane/keys\$#$work/keys#; s#127.0.0.1:6379#127.0.0.1:$port#; s#localhost/icelane:latest#$image#" \
    > "$work/play.yaml"
play kube play "$work/play.yaml" > "$work/up.log" 2>&1 || { tail "$work/up.log" >&2; exit 1; }
for _ in $(seq 100); do
    ! curl -s http://127.0.0.1:8080/healthz | grep -q '"with_room": 1' || break
    sleep 0.2
done
play ps --format '{{.Names}} {{.Status}}' 2> /dev/null
if ! "$icelane" call http://127.0.0.1:8080 --seconds 4; then
    for each in relay transceiver signaling; do play logs "$each-pod-0-$each" 2>&1 | tail; done
    exit 1
fi
