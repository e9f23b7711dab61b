"""What the program is told of interfaces: their MAC addresses, and who is on their side."""

import pytest

from relay.dataplane.kernel.ingresses import (
    LOOPBACK,
    PROBES,
    Ingress,
    find_ingresses,
    find_outside,
    outside,
    sides,
    slot_of,
    slots,
    write_ingresses,
)
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.rtnetlink import Address, Link
from relay.netns.host import Host

OUTER, INNER, VLAN = 2, 3, 10
MAC = bytes.fromhex("020000000101")
LINKS = [
    Link(1),
    Link(OUTER, mac=MAC),
    Link(INNER, mac=MAC[::-1]),
    Link(VLAN, INNER, vlan=5, mac=MAC[::-1]),
]


def transceivers_behind(assigned: list[Address], *upstreams: str) -> set[int]:
    found = sides(LINKS, assigned, {OUTER, INNER}, upstreams)
    return {each.index for each in found if each.transceivers}


def test_an_interface_with_an_upstream_address_is_on_their_side() -> None:
    assigned = [Address("203.0.113.10", OUTER), Address("192.0.2.1", INNER)]
    assert transceivers_behind(assigned, "192.0.2.1") == {INNER}


def test_so_is_one_that_carries_a_vlan_with_it() -> None:
    assert transceivers_behind([Address("192.0.2.1", VLAN)], "192.0.2.1") == {INNER}


@pytest.mark.parametrize("place", [1, 99], ids=["loopback", "an interface without the program"])
def test_where_an_address_is_elsewhere_nobody_can_tell(place: int) -> None:
    assigned = [Address("192.0.2.1", INNER), Address("192.0.2.2", place)]
    assert transceivers_behind(assigned, "192.0.2.1", "192.0.2.2") == {OUTER, INNER}


def test_the_parts_of_a_bond_are_as_it_is() -> None:
    bond = [Link(INNER, mac=MAC, kind="bond"), Link(20, mac=MAC, master=INNER), Link(21, mac=MAC)]
    parts = [*bond, Link(OUTER, mac=MAC), Link(22, mac=MAC, master=OUTER)]  # OUTER is no bond
    found = sides(parts, [Address("192.0.2.1", INNER)], {OUTER, INNER}, ["192.0.2.1"])
    assert {each.index: each.upstream for each in found} == {OUTER: False, INNER: True, 20: True}


def test_nor_where_it_is_nowhere() -> None:
    assert transceivers_behind([], "192.0.2.1") == {OUTER, INNER}


class TestOutside:
    """Which interfaces are the clients' alone, as sockets see it."""

    ASSIGNED = (Address("203.0.113.10", OUTER), Address("192.0.2.1", INNER))

    def test_one_that_has_a_vip_and_no_upstream_address(self) -> None:
        assert outside(self.ASSIGNED, (), {"203.0.113.10"}, {"192.0.2.1"}) == {OUTER}
        assert not outside(self.ASSIGNED, (), {"192.0.2.1"}, {"192.0.2.1"})

    def test_one_that_is_named(self) -> None:
        assert outside(self.ASSIGNED, {OUTER, INNER}, {"203.0.113.99"}, {"192.0.2.1"}) == {OUTER}

    def test_a_vlan_is_another_interface_than_the_one_below(self) -> None:
        assigned = (Address("203.0.113.10", INNER), Address("192.0.2.1", VLAN))
        assert outside(assigned, (), {"203.0.113.10"}, {"192.0.2.1"}) == {INNER}

    @pytest.mark.parametrize("place", [LOOPBACK, None])
    def test_none_where_an_upstream_address_is_on_no_interface(self, place: int | None) -> None:
        more = () if place is None else (Address("192.0.2.2", place),)
        assigned = (*self.ASSIGNED, *more)
        assert not outside(assigned, (), {"203.0.113.10"}, {"192.0.2.1", "192.0.2.2"})

    def test_never_the_loopback_interface(self) -> None:
        assigned = (Address("203.0.113.10", LOOPBACK), self.ASSIGNED[1])
        assert not outside(assigned, {LOOPBACK}, {"203.0.113.10"}, {"192.0.2.1"})

    @pytest.mark.netns
    def test_it_is_found_on_a_host(self, host: Host) -> None:
        with host.netlink() as netlink:
            (a,), (b,) = (netlink.link_lookup(ifname=name) for name in ("a", "b"))
            netlink.addr("add", index=b, address="192.0.2.7", prefixlen=32)
        with host.inside():
            assert find_outside(["a", "b", "gone"], (), {"192.0.2.7"}) == {a}


@pytest.mark.netns
def test_they_are_found_with_their_mac_addresses(maps_host: Host) -> None:
    with maps_host.inside(), maps_host.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname="a")
        (link,) = netlink.get_links(index)
        (found,) = find_ingresses([index], [])
    mac = bytes.fromhex(link.get("address").replace(":", ""))
    assert found == Ingress(index, mac, redirects=True)  # as a veth


@pytest.mark.bpf
def test_the_program_knows_them_and_no_former_ones(pins: Pins) -> None:
    def written() -> list[tuple[int, int]]:
        with PinnedMap(pins.map("ingresses")) as table:
            rows = [each["value"] for each in table.show()]
        return [(row["ifindex"], row["sides"]) for row in rows if row["ifindex"]]

    write_ingresses(pins, [Ingress(70, MAC), Ingress(3, MAC, transceivers=False)])
    assert written() == [(3, 1), (70, 3)]
    write_ingresses(pins, [Ingress(70, MAC), Ingress(6, MAC)])  # both in slot 6 of 64
    assert written() == [(70, 3), (6, 3)]
    with PinnedMap(pins.map("ingresses")) as table:
        assert [slot_of(table, index) for index in (70, 6, 134, 7)] == [6, 7, None, None]


def test_interfaces_that_share_a_slot_get_the_next_ones() -> None:
    found = [Ingress(index, MAC) for index in (126, 62, 63, 5)]
    placed = {slot: each.index for slot, each in slots(found, 64).items()}
    assert placed == {62: 126, 63: 62, 0: 63, 5: 5}


def test_one_whose_slots_are_all_taken_is_left_out() -> None:
    alike = [Ingress(64 * number, MAC) for number in range(PROBES)]
    assert len(slots(alike, 64)) == PROBES
    assert len(slots([*alike, Ingress(64 * PROBES, MAC)], 64)) == PROBES  # one too many
