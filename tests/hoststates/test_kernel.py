"""The kernel, its file systems, and what compiling needs."""

import sys
from pathlib import Path

import pytest

from relay.linux import sysctl
from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

KEPT = "compiled before"
# The headers that are installed, as if they were of another kernel.
OTHER_HEADERS = """
for each in /lib/modules/*/build; do
    test -e $each && mkdir -p $DIRECTORY/5.4.0 && for name in build source; do
        ln -sfn $(readlink -f ${each%build}$name) $DIRECTORY/5.4.0/$name; done
done
mount --bind $DIRECTORY /lib/modules
"""


@state("bpffs is mounted", "works")
def test_mounted(instance: str, tmp_path: Path) -> None:
    prepare = f"{host.NO_BPFFS}; mount -t bpf bpf /sys/fs/bpf"
    ended = host.relay(instance, tmp_path, prepare=prepare)
    assert ended.ready
    assert "mounted it" not in ended.text


@state(
    "bpffs is not mounted",
    "works: it is mounted",
    "The BPF file system was not mounted: mounted it at /sys/fs/bpf",
)
def test_not_mounted(instance: str, tmp_path: Path, says: Says) -> None:
    ended = host.relay(instance, tmp_path, prepare=host.NO_BPFFS)
    assert ended.ready
    says(ended.text)


@state("`/proc/1` is unreadable, even for root", "works")
def test_process_1_is_hidden(instance: str, tmp_path: Path) -> None:
    prepare = f"{host.NO_BPFFS}; mount -t tmpfs none /proc/1"
    assert host.relay(instance, tmp_path, prepare=prepare).ready


@state(
    "a mount namespace of its own, without bpffs (`ip netns exec`)",
    "works, and flows end with it",
    "The BPF file system was not mounted: mounted it at /sys/fs/bpf, in a mount namespace that "
    "only this process and its relatives have (as under `ip netns exec`). Flows and program end "
    "with the last of them; `nsenter --net=/run/netns/NAME` keeps the host's mounts.",
)
def test_mounts_of_its_own(says: Says) -> None:
    inner = (
        'unshare --mount --propagation private -- "$@"; exit'  # beside process 1, not in its place
    )
    ended = host.run(
        f"{host.NO_BPFFS}; {inner}",
        *(sys.executable, "-c", "from relay.dataplane.kernel import bpffs; print(bpffs.mount())"),
        namespaces=[*host.OWN[:-1], "--pid", "--fork", "--mount-proc", "--"],
    )
    assert ended.code == 0
    says(ended.text)


@state("no types of the kernel (`/sys/kernel/btf` is missing)", "works: the program needs none")
def test_no_btf(instance: str, tmp_path: Path) -> None:
    assert host.relay(instance, tmp_path, prepare="mount -t tmpfs none /sys/kernel/btf").ready


@state("no kernel headers, and the program was compiled before", "works")
def test_no_headers_with_an_object(instance: str, tmp_path: Path) -> None:
    ended = host.relay(instance, tmp_path, prepare=host.NO_HEADERS)
    assert ended.ready
    assert KEPT in ended.text


@state("no BCC, and the program was compiled before", "works")
def test_no_bcc_with_an_object(instance: str, tmp_path: Path) -> None:
    ended = host.relay(instance, tmp_path, prepare=NO_BCC)
    assert ended.ready
    assert KEPT in ended.text


NO_BCC = (
    'mount -t tmpfs none "$(dirname "$(/usr/bin/python3 -c \'import bcc; print(bcc.__file__)\')")"'
)


@state("headers of another kernel only, and no compiled program", "works: it compiles with those")
def test_other_headers(instance: str, tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    others = OTHER_HEADERS.replace("$DIRECTORY", str(tmp_path / "modules"))
    ended = host.relay(instance, tmp_path, prepare=f"{host.NO_OBJECT}\n{others}")
    assert ended.ready
    assert "compiled now" in ended.text


@state(
    "no kernel headers, and no compiled program",
    "`--dataplane xdp` ends, `auto` forwards in userspace",
    "No kernel headers are installed, and BCC compiles against them: "
    "apt-get install linux-headers-amd64 (or of your architecture).",
)
def test_no_headers(instance: str, tmp_path: Path, says: Says) -> None:
    prepare = f"{host.NO_OBJECT}; {host.NO_HEADERS}"
    ended = host.relay(instance, tmp_path, prepare=prepare)
    assert ended.code == 1
    says(ended.lines[-1])
    auto = host.relay(instance, tmp_path, prepare=prepare, dataplane="auto")
    assert auto.ready
    assert "userspace dataplane" in auto.lines[-1]


@state(
    "no BCC, and no compiled program",
    "`--dataplane xdp` ends, `auto` forwards in userspace",
    "BCC is missing. Install python3-bpfcc (apt-get install python3-bpfcc); a virtual environment "
    "must be of /usr/bin/python3, with --system-site-packages.",
)
def test_no_bcc(instance: str, tmp_path: Path, says: Says) -> None:
    ended = host.relay(instance, tmp_path, prepare=f"{NO_BCC}; {host.NO_OBJECT}")
    assert ended.code == 1
    says(ended.lines[-1])


@state(
    "`kernel.unprivileged_bpf_disabled` is 0, 1 or 2",
    "does not matter: root may, and others are told",
    "The XDP dataplane needs root: run it as root, such as with sudo.",
)
def test_unprivileged_bpf(instance: str, tmp_path: Path, says: Says) -> None:
    # It is the machine's, and 1 is for good: the test takes what it finds.
    assert sysctl("kernel/unprivileged_bpf_disabled") in (0, 1, 2)
    assert host.relay(instance, tmp_path).ready
    says(host.run('"$@"', sys.executable, "-c", AS_NOBODY).lines[-1])


AS_NOBODY = """
import os
from relay.dataplane.kernel import privileges
from relay.errors import DataplaneError
os.setuid(65534)  # only now: a checkout may be readable for its owner only
try:
    privileges.require(*privileges.LOADING)
except DataplaneError as error:
    print(error)
"""
