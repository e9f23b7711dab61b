"""Addresses above interfaces that run the program: which packets it takes for another host's."""

import errno
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.dataplane import xdp
from relay.dataplane.kernel import ingressesabove
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.kernel.ingressesabove import above
from relay.dataplane.kernel.privileged import AsRoot
from relay.dataplane.kernel.rtnetlink import Address, Link
from relay.netns.host import Host
from tests.relay.dataplane.conftest import UPSTREAM
from tests.relay.dataplane.loading import VIP, load

MAC, VIRTUAL = bytes([2, 0, 0, 0, 0, 1]), bytes([0, 0, 0x5E, 0, 1, 51])
NIC, BOND, PART, UPPER, TOP = 2, 3, 4, 10, 11
NAMES = {NIC: "eth0", BOND: "bond0", PART: "eth1", UPPER: "vrrp.51", TOP: "top"}
HOST = "203.0.113.10"


def found(*links: Link, on: int = UPPER, named: tuple[int, ...] = (NIC, BOND)) -> list[int]:
    """Above which interfaces the address lies, wrongly."""
    base = (Link(NIC, mac=MAC), Link(BOND, mac=MAC, kind="bond"), Link(PART, mac=MAC, master=BOND))
    told = above([*base, *links], [Address(HOST, on)], named, {HOST}, NAMES)
    return [below for below, _ in told]


def test_a_macvlan_with_the_address_is_told_of_with_what_to_do() -> None:
    links = [Link(NIC, mac=MAC), Link(UPPER, lower=NIC, mac=VIRTUAL, kind="macvlan")]
    ((below, told),) = above(links, [Address(HOST, UPPER)], [NIC], {HOST}, NAMES)
    assert below == NIC
    assert told.startswith("203.0.113.10 is an address of vrrp.51, which lies above eth0")
    assert "agent forwards them. Give 203.0.113.10 to eth0 (keepalived does without use_v" in told


def test_a_vlan_can_have_the_mac_address_of_the_interface_below() -> None:
    links = [Link(NIC, mac=MAC), Link(UPPER, lower=NIC, mac=VIRTUAL, kind="vlan", vlan=5)]
    ((_, told),) = above(links, [Address(HOST, UPPER)], [NIC], {HOST}, NAMES)
    assert told.endswith("Give it that of eth0 with ip link set vrrp.51 address 02:00:00:00:00:01.")


@pytest.mark.parametrize("kind", ["macvlan", "vlan"])
def test_kinds_whose_frames_come_in_below(kind: str) -> None:
    assert found(Link(UPPER, lower=NIC, mac=VIRTUAL, kind=kind)) == [NIC]
    assert found(Link(UPPER, lower=NIC, mac=MAC, kind=kind)) == []


@pytest.mark.parametrize("kind", ["veth", "macvtap", "vxlan", "gretap", ""])
def test_other_kinds_do_not_lie_above(kind: str) -> None:
    assert found(Link(UPPER, lower=NIC, mac=VIRTUAL, kind=kind)) == []


def test_one_above_a_vlan_or_a_bond_lies_above_what_runs_the_program() -> None:
    vlan = Link(UPPER, lower=NIC, vlan=5, mac=MAC, kind="vlan")
    assert found(vlan, Link(TOP, lower=UPPER, mac=VIRTUAL, kind="macvlan"), on=TOP) == [NIC]
    assert found(Link(UPPER, lower=BOND, mac=VIRTUAL, kind="macvlan")) == [BOND]


def test_the_mac_address_of_a_bonds_part_is_known() -> None:
    part = Link(12, mac=VIRTUAL, master=BOND)
    assert found(part, Link(UPPER, lower=BOND, mac=VIRTUAL, kind="macvlan")) == []


def test_one_that_runs_the_program_itself_is_no_trouble() -> None:
    upper = Link(UPPER, lower=NIC, mac=VIRTUAL, kind="macvlan")
    assert found(upper, named=(NIC, UPPER)) == []
    assert found(upper, named=(UPPER,)) == []


def test_what_is_not_the_relays_or_not_here_is_none_of_its_business() -> None:
    upper = Link(UPPER, lower=NIC, mac=VIRTUAL, kind="macvlan")
    assert found(upper, on=NIC) == []
    assert found(upper, on=99) == []
    assert found(upper, named=(BOND,)) == []
    assert found(Link(UPPER, lower=99, mac=VIRTUAL, kind="macvlan")) == []
    assert found(Link(UPPER, lower=NIC, mac=VIRTUAL, kind="macvlan", netns=0)) == []  # below: there
    assert above([Link(NIC, mac=MAC), upper], [Address(HOST, UPPER)], [NIC], {"::1"}, NAMES) == []


def add_macvlan(netlink: IPRoute, name: str, below: int) -> None:
    try:
        netlink.link("add", ifname=name, kind="macvlan", link=below, macvlan_mode="private")
    except NetlinkError as error:
        if error.code != errno.EOPNOTSUPP:
            raise
        pytest.skip("this kernel has no macvlan")


@pytest.fixture
def vmac(host: Host, running: LoadConfig) -> Iterator[LoadConfig]:
    """An instance whose addresses are on interfaces above its own, as keepalived makes them."""
    with host.netlink() as netlink:
        for name, lower, address in (("vrrp.51", "a", VIP.host), ("vrrp.52", "b", UPSTREAM)):
            below = netlink.link_lookup(ifname=lower)[0]
            netlink.link("add", ifname=name, kind="macvlan", link=below, macvlan_mode="private")
            (index,) = netlink.link_lookup(ifname=name)
            netlink.addr("add", index=index, address=address, prefixlen=32)
    yield running
    with host.netlink() as netlink:
        for name in ("vrrp.51", "vrrp.52"):
            netlink.link("del", index=netlink.link_lookup(ifname=name)[0])


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.kinds
def test_loading_and_status_tell_of_it_and_the_agent_does_when_it_is_new(
    host: Host, vmac: LoadConfig
) -> None:
    with host.inside():
        told = ingressesabove.look(AsRoot(vmac.instance))
        assert [each.partition(",")[0] for each in told] == [
            f"{VIP.host} is an address of vrrp.51",
            f"{UPSTREAM} is an address of vrrp.52",
        ]
        assert set(told) <= set(xdp.status(vmac.instance).unseen)
        warnings = load(host, vmac).warnings
        assert set(told) <= set(warnings)
        dataplane = xdp.XdpDataplane(vmac.instance)
        assert set(told) <= set(dataplane.reconcile())
        assert dataplane.reconcile() == []
        dataplane.close()
        knowing = xdp.XdpDataplane(vmac.instance, told=warnings)
        assert knowing.reconcile() == []
        knowing.close()
