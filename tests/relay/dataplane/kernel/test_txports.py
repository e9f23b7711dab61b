"""Which ports the program is given: interfaces, and the VLANs above them."""

import pytest

from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.rtnetlink import Link
from relay.dataplane.kernel.txports import (
    TxPort,
    arranged,
    find_tx_ports,
    vlan_ports,
    write_tx_ports,
)
from relay.errors import DataplaneError
from relay.netns.host import Host


def test_vlans_above_our_interfaces_are_ports() -> None:
    links = [Link(10, 2, vlan=5), Link(11, 3, vlan=6), Link(12, 4, vlan=7), Link(2), Link(13, 2)]
    assert vlan_ports(links, {2, 3}) == [TxPort(10, 2, 5), TxPort(11, 3, 6)]


@pytest.mark.bpf
def test_the_program_is_given_its_ports_and_no_former_ones(pins: Pins) -> None:
    def written() -> set[tuple[int, int, int]]:
        with PinnedMap(pins.map("tx_ports")) as table:
            rows = [each["value"] for each in table.show()]
        return {
            (row["fib_ifindex"], row["ifindex"], row["vlan"]) for row in rows if any(row.values())
        }

    before = [TxPort(fib_index, index, vlan) for fib_index, index, vlan in written()]
    try:
        write_tx_ports(pins, [TxPort(2, 2), TxPort(3, 3), TxPort(10, 2, 5)])
        assert written() == {(2, 2, 0), (3, 3, 0), (10, 2, 5)}
        write_tx_ports(pins, [TxPort(4, 4)])
        assert written() == {(4, 4, 0)}
        with pytest.raises(DataplaneError, match=r"There are 33 interfaces .* has room for 32"):
            write_tx_ports(pins, [TxPort(5, 5)] * 33)
    finally:
        write_tx_ports(pins, before)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ([2, 3], [3, 2]),
        ([2, 3, 4], [4, 3]),
        ([2, 3], [4, 3, 2]),
        ([2, 3, 4, 5], [6, 5, 3, 7]),
        ([], [2]),
        ([2], []),
    ],
)
def test_a_port_that_stays_is_in_the_table_at_any_moment(
    before: list[int], wanted: list[int]
) -> None:
    nothing = TxPort(0, 0)
    table = [TxPort(each, each) for each in before] + [nothing] * (8 - len(before))
    staying = {TxPort(each, each) for each in set(before) & set(wanted)}
    rows = arranged(table, [TxPort(each, each) for each in wanted])
    for index, new in enumerate(rows + [nothing] * (8 - len(rows))):
        table[index] = new
        found = table[: table.index(nothing)]  # the program looks no further
        assert staying <= set(found)
    assert {port.index for port in found} == set(wanted)


def test_the_way_out_stays_before_those_that_packets_only_come_in_through() -> None:
    bond, part, other = TxPort(10, 2, 5), TxPort(10, 3, 5), TxPort(5, 5)
    assert arranged([part, other], [other, bond, part]) == [other, bond, part]
    assert arranged([bond, other], [other, bond, part]) == [bond, other, part]


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
