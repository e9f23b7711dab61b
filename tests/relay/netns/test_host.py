"""Network namespaces of the kernel: made, entered, configured and removed."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import NetnsError
from relay.linux import netns_inode
from relay.netns.host import Host

pytestmark = pytest.mark.netns


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "one")
    host.create()
    yield host
    host.remove()


def test_a_host_is_a_namespace_that_ip_netns_knows(host: Host) -> None:
    said = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout
    assert host.namespace in said.split()
    assert host.exists()
    assert host.path.stat().st_ino != netns_inode()


def test_what_is_removed_is_gone_and_may_be_made_again(host: Host) -> None:
    host.remove()
    assert not host.exists()
    host.remove()
    host.create()
    assert host.exists()


def test_namespaces_that_ip_makes_later_do_not_keep_it_from_being_removed() -> None:
    # In mounts of its own, where nobody has made a namespace before.
    code = """
import subprocess
from relay.netns.host import Host
host = Host("test", "one")
host.create()
subprocess.run(["ip", "netns", "add", "another"], check=True)
host.remove()
subprocess.run(["ip", "netns", "delete", "another"], check=True)
assert not host.exists()
host.create()
host.remove()
"""
    script = 'umount -l /run/netns 2>/dev/null; mount -t tmpfs none /run && exec "$@"'
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_making_one_twice_is_refused_with_the_remedy(host: Host) -> None:
    with pytest.raises(NetnsError, match=f"ip netns delete {host.namespace}"):
        host.create()
    assert host.exists()


def test_a_file_that_no_namespace_is_mounted_at_is_removed_too(host: Host) -> None:
    host.remove()
    host.path.touch()  # by a process that was killed between both
    host.remove()
    assert not host.exists()


def test_a_thread_is_inside_for_a_while(host: Host) -> None:
    outside = netns_inode()
    with host.inside():
        assert netns_inode() == host.path.stat().st_ino
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert netns_inode() == outside
    with pytest.raises(ValueError, match="inside"), host.inside():
        raise ValueError("inside")
    assert netns_inode() == outside


def test_a_command_runs_there_and_sees_the_mounts_of_this_process(host: Host) -> None:
    script = "stat -L -c %i /proc/self/ns/net; cat /proc/self/mountinfo"
    ran = subprocess.run(
        host.command(["sh", "-c", script]), check=True, capture_output=True, text=True
    )
    inode, mounts = ran.stdout.split("\n", 1)
    assert int(inode) == host.path.stat().st_ino
    assert mounts == Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def test_its_network_is_configured_from_outside(host: Host) -> None:
    with host.netlink() as netlink:
        netlink.link("add", ifname="a", kind="veth", peer="b")
    with host.inside():
        assert {name for _, name in socket.if_nameindex()} == {"lo", "a", "b"}
    assert "a" not in {name for _, name in socket.if_nameindex()}


def test_its_settings_are_its_own(host: Host) -> None:
    here = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii")
    changed = 1 - int(here)
    assert host.sysctl("ipv4/ip_forward", changed) == changed
    assert host.sysctl("ipv4/ip_forward") == changed
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii") == here


def test_without_root_it_is_said(host: Host) -> None:
    made = Host(host.network, "two")
    pid = os.fork()
    if pid == 0:  # a child, which may give root away
        try:
            os.setgroups([])
            os.seteuid(65534)
            made.create()
        except (NetnsError, PermissionError):
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not made.exists()
