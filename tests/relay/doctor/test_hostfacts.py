"""What this machine says of itself, where things are really missing."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from relay.doctor import hostfacts
from relay.doctor.host import Kernel, Limits

LOOK = """
import json
from dataclasses import asdict
from relay.doctor import hostfacts
print(json.dumps([asdict(hostfacts.kernel()), asdict(hostfacts.limits(4096, gives_up_root=False))]))
"""
OWN = ("unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec")


def look(prepare: str, *wrapper: str) -> tuple[Kernel, Limits]:
    """What is found in namespaces of its own."""
    ran = subprocess.run(
        [*OWN, f'{prepare}\nexec "$@"', "sh", *wrapper, sys.executable, "-c", LOOK],
        check=True,
        capture_output=True,
        text=True,
    )
    kernel, limits = json.loads(ran.stdout)
    kernel["loopback_off"] = tuple(kernel["loopback_off"])
    return Kernel(**kernel), Limits(**limits)


def test_it_runs_here() -> None:
    found = hostfacts.kernel()
    assert found.release == os.uname().release
    assert set(asdict(found)) >= {"bpffs", "program"}
    assert hostfacts.limits(1, gives_up_root=True).any_buffer is False
    assert hostfacts.clock_is_set() in (True, False)


@pytest.mark.bpf
class TestHosts:
    """Hosts on which something is really missing."""

    def test_a_plain_one(self) -> None:
        found, limits = look("mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf")
        assert (found.bpffs, found.refused, found.root, found.loopback_off) == (
            True,
            None,
            True,
            (),
        )
        assert found.bcc
        assert limits.any_buffer

    def test_without_bpffs(self) -> None:
        found, _ = look("while umount /sys/fs/bpf 2>/dev/null; do :; done")
        assert not found.bpffs

    def test_without_headers(self) -> None:
        found, _ = look(
            "mount -t tmpfs none /lib/modules\n"
            "if test -e /sys/kernel/kheaders.tar.xz; then mount -t tmpfs none /sys/kernel; fi"
        )
        assert found.headers is None

    def test_without_capabilities(self) -> None:
        found, limits = look(":", "setpriv", "--bounding-set=-sys_admin,-net_admin")
        assert "CAP_SYS_ADMIN" in (found.refused or "")
        assert found.root
        assert not limits.any_buffer

    def test_with_settings_that_cannot_be_written(self) -> None:
        found, _ = look("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys")
        assert found.loopback_off == ("net.ipv4.conf.lo.forwarding", "net.ipv6.conf.lo.forwarding")

    def test_with_few_files(self) -> None:
        _, limits = look(":", "prlimit", "--nofile=256:256")
        assert "only 256 files" in (limits.few_files or "")
