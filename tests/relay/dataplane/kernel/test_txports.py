"""Which ports the program is given: interfaces, and the VLANs above them."""

from collections.abc import Iterator

import pytest

from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.rtnetlink import Link
from relay.dataplane.kernel.txports import (
    TxPort,
    find_tx_ports,
    vlan_ports,
    write_tx_ports,
)
from relay.errors import DataplaneError
from relay.netns.host import Host


def test_vlans_above_our_interfaces_are_ports() -> None:
    links = [Link(10, 2, vlan=5), Link(11, 3, vlan=6), Link(12, 4, vlan=7), Link(2), Link(13, 2)]
    assert vlan_ports(links, {2, 3}) == [TxPort(10, 2, 5), TxPort(11, 3, 6)]


def ways_out(pins: Pins) -> dict[int, tuple[int, int]]:
    with PinnedMap(pins.map("tx_ports")) as table:
        return {
            int(row["key"][""]): (row["value"]["ifindex"], row["value"]["vlan"])
            for row in table.show()
        }


def ways_in(pins: Pins) -> set[tuple[int, int]]:
    with PinnedMap(pins.map("own_vlans")) as table:
        return {(row["key"]["ifindex"], row["key"]["vlan"]) for row in table.show()}


@pytest.fixture
def kept(pins: Pins) -> Iterator[Pins]:
    """The instance, whose ports are as before afterwards."""
    before = [TxPort(fib_index, *way) for fib_index, way in ways_out(pins).items()]
    yield pins
    write_tx_ports(pins, before)


@pytest.mark.bpf
def test_the_program_is_given_its_ports_and_no_former_ones(kept: Pins) -> None:
    write_tx_ports(kept, [TxPort(2, 2), TxPort(3, 3), TxPort(10, 2, 5)])
    assert ways_out(kept) == {2: (2, 0), 3: (3, 0), 10: (2, 5)}
    assert ways_in(kept) == {(2, 5)}
    write_tx_ports(kept, [TxPort(4, 4), TxPort(10, 4, 6)])
    assert ways_out(kept) == {4: (4, 0), 10: (4, 6)}
    assert ways_in(kept) == {(4, 6)}


@pytest.mark.bpf
def test_the_way_out_is_the_first_port_with_its_index(kept: Pins) -> None:
    bond, parts = TxPort(10, 2, 5), [TxPort(10, 3, 5), TxPort(10, 4, 5)]
    write_tx_ports(kept, [bond, *parts])
    assert ways_out(kept) == {10: (2, 5)}
    assert ways_in(kept) == {(2, 5), (3, 5), (4, 5)}


@pytest.mark.bpf
def test_all_vlans_above_an_interface_are_ports(kept: Pins) -> None:
    links = [Link(100 + vlan, 2, vlan=vlan, kind="vlan") for vlan in range(1, 4095)]
    write_tx_ports(kept, vlan_ports(links, {2}))
    assert len(ways_out(kept)) == len(ways_in(kept)) == 4094


@pytest.mark.bpf
def test_of_more_ports_than_there_is_room_for_the_first_are_written(kept: Pins) -> None:
    with pytest.raises(DataplaneError, match=r"There are 9000 interfaces .* has room for 8192"):
        write_tx_ports(kept, [TxPort(index, index) for index in range(1, 9001)])
    assert set(ways_out(kept)) == set(range(1, 8193))


@pytest.mark.netns
def test_interfaces_are_found_with_the_vlans_above_them(maps_host: Host) -> None:
    with maps_host.inside():
        assert find_tx_ports([2, 4]) == [TxPort(2, 2), TxPort(4, 4)]


def test_a_vlan_above_a_bond_comes_in_through_its_parts_and_leaves_through_it() -> None:
    links = [
        Link(2, kind="bond"),
        Link(3, master=2),
        Link(4, master=2),
        Link(5, master=6),
        Link(10, 2, vlan=5, kind="vlan"),
    ]
    ports = vlan_ports(links, {2})
    assert ports == [TxPort(10, 2, 5), TxPort(10, 3, 5), TxPort(10, 4, 5)]
