#!/usr/bin/env bash
# Builds the image of Icelane without a registry, as `make container` does:
#   build.sh PYTHON CACHE IMAGE
#
#   PYTHON  of an environment that is set up
#   CACHE   a directory for the base and the Python wheels, which are made once
#   IMAGE   what the image is called
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../../.."
python=$1 cache=$2 image=$3
base=localhost/icelane-base:bookworm
mkdir -p "$cache"

if ! podman image exists "$base"; then
    echo "Making the base image, with debootstrap"
    mirror=$("$python" -c 'import sys, pathlib; from vagrant import hostconfig
print(hostconfig.write_apt_files(pathlib.Path(sys.argv[1])))' "$cache/apt")
    root=$(mktemp -d "$cache/root.XXXX")
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,libopus0 \
        bookworm "$root" "$mirror" > "$cache/debootstrap.log" \
        || { tail "$cache/debootstrap.log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | podman import -q - "$base" > /dev/null
fi

echo "Collecting Python wheels"
rm -f "$cache"/wheels/icelane-*.whl
"$python" -m pip wheel -q --disable-pip-version-check -c .ci/requirements.lock \
    -w "$cache/wheels" '.[agent]'

echo "Building $image"
# The whole of podman's own isolation needs a runtime that not every machine's cgroups suit.
podman build -q --isolation=chroot --network=host --build-arg BASE="$base" \
    --volume "$(realpath "$cache/wheels"):/wheels:ro" \
    -t "$image" -f docs/deploy/container/Containerfile docs/deploy/container > /dev/null
podman image inspect --format '{{.Size}}' "$image" \
    | awk -v image="$image" '{printf "%s: %.0f MB\n", image, $1 / 1e6}'
