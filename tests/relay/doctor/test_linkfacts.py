"""What real interfaces say of themselves."""

from collections.abc import Iterator

import pytest

from relay.doctor import linkfacts
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host
from tests.relay.dataplane.kernel.test_ingressesabove import add_macvlan

pytestmark = pytest.mark.netns


@pytest.fixture
def host() -> Iterator[Host]:
    with new_host() as host:
        yield host


def test_those_that_are_named_are_looked_at(host: Host) -> None:
    with host.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname="a")
        netlink.link("set", index=index, mtu=9000)
        with host.inside():
            found, absent = linkfacts.interfaces(("a", "lo", "nosuch"))
    lo, a = found
    assert absent == ["nosuch"]
    assert (a.name, a.driver, a.mtu, a.up, a.refused) == ("a", "veth", 9000, True, None)
    assert a.native in (True, None)  # kernels before 6.3 do not tell
    assert a.merges is not True
    assert "is the loopback interface" in (lo.refused or "")


def test_offloads_that_hide_something_are_told(host: Host) -> None:
    with host.netlink() as netlink:
        netlink.link("add", ifname="c", kind="veth", peer="c-far")
        with host.inside():
            (found,), _ = linkfacts.interfaces(("c",))
    assert "c is a veth whose other end leaves checksums" in found.hidden[0]


def test_without_names_those_that_have_addresses_are_looked_at(host: Host) -> None:
    with host.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname="b")
        netlink.addr("add", index=index, address="192.0.2.1", prefixlen=24)
        with host.inside():
            found, _ = linkfacts.interfaces(())
    assert [each.name for each in found] == ["b"]


@pytest.mark.kinds
def test_addresses_on_interfaces_above_with_other_mac_addresses_are_told(host: Host) -> None:
    """As keepalived makes them with use_vmac."""
    with host.netlink() as netlink:
        (below,) = netlink.link_lookup(ifname="a")
        add_macvlan(netlink, "vrrp.51", below)
        (index,) = netlink.link_lookup(ifname="vrrp.51")
        netlink.addr("add", index=index, address="203.0.113.10", prefixlen=32)
        with host.inside():
            (a, b), _ = linkfacts.interfaces(("a", "b"), {"203.0.113.10"})
            (other,), _ = linkfacts.interfaces(("a",), {"203.0.113.11"})
    (told,) = a.above
    assert told.startswith("203.0.113.10 is an address of vrrp.51, which lies above a")
    assert (b.above, other.above) == ((), ())
