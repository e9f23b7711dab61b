"""Which ports the program is given: interfaces, and the VLANs above them."""

from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.txports import (
    ETH_P_8021Q,
    TxPort,
    find_tx_ports,
    vlan_ports,
    write_tx_ports,
)
from relay.errors import DataplaneError
from relay.netns.host import Host


def vlan(index: int, above: int, number: int, protocol: int = ETH_P_8021Q) -> ifinfmsg:
    """A VLAN's interface, as netlink reports it."""
    data = {"attrs": [("IFLA_VLAN_ID", number), ("IFLA_VLAN_PROTOCOL", protocol)]}
    info = {"attrs": [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", data)]}
    return received({"index": index, "attrs": [("IFLA_LINK", above), ("IFLA_LINKINFO", info)]})


def received(fields: dict[str, Any]) -> ifinfmsg:
    """A message that went over the wire."""
    sent = ifinfmsg()
    sent.update(fields)
    sent.encode()
    message = ifinfmsg(sent.data)
    message.decode()
    return message


def test_vlans_above_our_interfaces_are_ports() -> None:
    links = [vlan(10, 2, 5), vlan(11, 3, 6), vlan(12, 4, 7)]
    assert vlan_ports(links, {2, 3}) == [TxPort(10, 2, 5), TxPort(11, 3, 6)]


def test_other_tags_and_other_links_are_none() -> None:
    service_tag = vlan(10, 2, 5, protocol=0x88A8)
    ethernet = received({"index": 2, "attrs": [("IFLA_IFNAME", "eth0")]})
    assert vlan_ports([service_tag, ethernet], {2}) == []


@pytest.mark.bpf
def test_the_program_is_given_its_ports_and_no_former_ones(pins: Pins) -> None:
    def written() -> list[tuple[int, int, int]]:
        with PinnedMap(pins.map("tx_ports")) as table:
            rows = [each["value"] for each in table.show()]
        return [
            (row["fib_ifindex"], row["ifindex"], row["vlan"]) for row in rows if any(row.values())
        ]

    before = [TxPort(fib_index, index, vlan) for fib_index, index, vlan in written()]
    try:
        write_tx_ports(pins, [TxPort(2, 2), TxPort(3, 3), TxPort(10, 2, 5)])
        assert written() == [(2, 2, 0), (3, 3, 0), (10, 2, 5)]
        write_tx_ports(pins, [TxPort(4, 4)])
        assert written() == [(4, 4, 0)]
        with pytest.raises(DataplaneError, match=r"There are 33 interfaces .* has room for 32"):
            write_tx_ports(pins, [TxPort(5, 5)] * 33)
    finally:
        write_tx_ports(pins, before)


@pytest.mark.netns
def test_interfaces_are_found_with_the_vlans_above_them(maps_host: Host) -> None:
    with maps_host.inside():
        assert find_tx_ports([2, 4]) == [TxPort(2, 2), TxPort(4, 4)]
