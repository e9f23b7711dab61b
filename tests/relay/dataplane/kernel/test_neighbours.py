"""Stale neighbours are probed."""

import os
import secrets
from collections.abc import Iterator
from socket import if_nametoindex

import pytest
from pyroute2.netlink.rtnl.ndmsg import NUD_DELAY, NUD_PERMANENT, NUD_STALE

from relay.dataplane.kernel import neighbours
from relay.netns.host import Host

pytestmark = pytest.mark.netns

MAC = "02:00:00:00:00:02"
MANY = 200  # more than the kernel tells with one datagram
STALE = [
    *(("a", f"192.0.2.{number}") for number in range(2, 2 + MANY)),
    ("a", "2001:db8::2"),
    ("b", "198.51.100.2"),
]


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with the neighbours above, of whom it has not heard for a while."""
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "neighbours")
    host.create()
    try:
        host.sysctl("ipv6/conf/default/accept_dad", 0)
        with host.netlink() as netlink:
            netlink.link("add", ifname="a", kind="veth", peer="b")
            index = {name: netlink.link_lookup(ifname=name)[0] for name in ("a", "b")}
            for each in index.values():
                netlink.link("set", index=each, state="up")
            netlink.addr("add", index=index["a"], address="192.0.2.1", prefixlen=24)
            netlink.addr("add", index=index["a"], address="2001:db8::1", prefixlen=64)
            for name, address in STALE:
                netlink.neigh("add", dst=address, lladdr=MAC, ifindex=index[name], state=NUD_STALE)
            netlink.neigh(
                "add", dst="192.0.2.250", lladdr=MAC, ifindex=index["a"], state=NUD_PERMANENT
            )
        yield host
    finally:
        host.remove()


def states(host: Host) -> dict[str, int]:
    with host.netlink() as netlink:
        return {
            each.get("dst"): each["state"]
            for each in netlink.get_neighbours()
            if each.get("lladdr") == MAC
        }


def test_stale_neighbours_of_these_interfaces_are_probed_and_no_others(host: Host) -> None:
    before = dict.fromkeys((address for _, address in STALE), NUD_STALE)
    assert states(host) == before | {"192.0.2.250": NUD_PERMANENT}
    with host.inside():
        neighbours.probe_stale([if_nametoindex("a"), 999])
    probed = {address: NUD_DELAY for name, address in STALE if name == "a"}
    assert states(host) == before | probed | {"192.0.2.250": NUD_PERMANENT}
