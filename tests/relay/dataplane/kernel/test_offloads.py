"""Offloads that hide from the program what a packet is: who has them, and what is said."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.dataplane.kernel import offloads
from relay.dataplane.kernel.rtnetlink import Link
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.relay.dataplane.conftest import new_host

LOOPBACK = 1  # which has a name everywhere


@contextmanager
def veth(host: Host, peer_host: Host | None = None) -> Iterator[int]:
    """A veth in a host whose other end is there or in another one; its number."""
    peer = {"ifname": "v-far"}
    if peer_host is not None:
        peer["net_ns_fd"] = str(peer_host.path)
    with host.netlink() as netlink:
        netlink.link("add", ifname="v", kind="veth", peer=peer)
        (index,) = netlink.link_lookup(ifname="v")
        yield index
        netlink.link("del", index=index)


@pytest.mark.parametrize(("strips", "said"), [(True, 1), (False, 0), (None, 0)])
def test_hardware_that_takes_tags_off_is_named_where_there_are_vlans(
    *, strips: bool | None, said: int
) -> None:
    tagged = [Link(LOOPBACK), Link(10, LOOPBACK, vlan=5, kind="vlan")]
    warnings = list(offloads.stripped(tagged, {LOOPBACK}, lambda _: strips))
    assert len(warnings) == said
    assert all("lo takes VLAN tags off" in each for each in warnings)
    assert all("ethtool -K lo rxvlan off" in each for each in warnings)
    assert not list(offloads.stripped(tagged[:1], {LOOPBACK}, lambda _: strips))
    assert not list(offloads.stripped(tagged, {99}, lambda _: strips))


@pytest.mark.parametrize(
    ("kind", "completes", "said"),
    [
        ("veth", True, None),
        ("veth", False, "leaves checksums"),
        ("veth", None, "may leave"),
        ("tun", None, "may leave"),
        ("", False, None),
    ],
)
def test_an_end_that_leaves_checksums_is_named(
    kind: str, said: str | None, *, completes: bool | None
) -> None:
    link = Link(LOOPBACK, kind=kind)
    warnings = list(offloads.partial([link], {LOOPBACK}, lambda _: completes))
    assert len(warnings) == (said is not None)
    assert all(f"lo is a {kind}" in each and str(said) in each for each in warnings)
    assert not list(offloads.partial([link], {99}, lambda _: completes))


@pytest.mark.netns
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another namespace"])
def test_the_other_end_of_a_veth_is_asked(host: Host, *, elsewhere: bool) -> None:
    with new_host() as other:
        far = other if elsewhere else host
        with veth(host, far if elsewhere else None) as index, host.inside():
            assert ["whose other end leaves" in each for each in offloads.hidden([index])] == [True]
            with far.inside():
                set_offload("v-far", Offload.TX_CHECKSUM, on=False)
            assert offloads.hidden([index]) == []


@pytest.mark.netns
def test_a_driver_that_does_not_tell_is_no_failure(host: Host) -> None:
    with veth(host) as index, host.inside():
        assert offloads.strips_tags(index) in (True, False)
        assert offloads.strips_tags(socket.if_nametoindex("lo")) in (False, None)
