"""Which filters an agent's sockets get, and what is said where they cannot be had."""

import logging
import socket
from contextlib import closing

import pytest

from relay.dataplane.kernel import bpfload
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
        ("203.0.113.1", "127.0.0.1", (), False, 1),
        ("127.0.0.1", "127.0.0.1", (), False, 0),
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


def test_without_the_right_to_have_filters_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(bpfload, "map_create", refuse)
    with (
        closing(Filters((), {"127.0.0.1"}, ["127.0.0.1"], told=False)) as filters,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        filters.attach(udp, to_transceivers=True)
        assert filters.dropped() == {}
    (warning,) = warnings(caplog)
    assert "it needs root or CAP_BPF" in warning
