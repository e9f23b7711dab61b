"""Which filters an agent's sockets get, and what is said where they cannot be had."""

import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from relay.netns.host import Host
from relay.run.filters import Filters

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def wired(host: Host) -> Host:
    """A host whose interface a has two addresses, and b one."""
    with host.netlink() as netlink:
        for name, address in (("a", "203.0.113.1"), ("a", "192.0.2.9"), ("b", "192.0.2.1")):
            (index,) = netlink.link_lookup(ifname=name)
            netlink.addr("add", index=index, address=address, prefixlen=24)
    return host


UNPRIVILEGED = """
import logging, socket
from relay.run.filters import Filters
logging.basicConfig()
filters = Filters((), {"127.0.0.1"}, ["127.0.0.1"], told=False)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    filters.attach(udp, to_transceivers=True)
print(filters.dropped())
filters.close()
"""


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("vip", "upstream", "named", "told", "said"),
    [
        ("203.0.113.1", "192.0.2.1", (), False, 0),
        ("203.0.113.1", "192.0.2.9", (), False, 1),
        ("203.0.113.1", "192.0.2.9", (), True, 0),
        ("198.51.100.1", "192.0.2.1", (), False, 1),  # the VIP is nowhere, or on the loopback
        ("198.51.100.1", "192.0.2.1", ("a", "gone"), False, 0),
        ("203.0.113.1", "127.0.0.1", (), False, 0),
    ],
)
def test_a_relay_says_once_that_it_cannot_tell_sides(
    wired: Host,
    caplog: pytest.LogCaptureFixture,
    *,
    vip: str,
    upstream: str,
    named: tuple[str, ...],
    told: bool,
    said: int,
) -> None:
    with wired.inside(), closing(Filters(named, {vip}, [upstream], told=told)):
        assert len(warnings(caplog)) == said


def test_without_the_right_to_have_filters_it_says_so_and_goes_on() -> None:
    ran = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin,-bpf", sys.executable, "-c", UNPRIVILEGED],
        check=True,
        capture_output=True,
        text=True,
    )
    allowed = not int(Path("/proc/sys/kernel/unprivileged_bpf_disabled").read_text("ascii"))
    assert ("it needs root or CAP_BPF" in ran.stderr) != allowed
    assert ran.stdout == "{}\n"
