"""Which ports the program is given: interfaces, and the VLANs above them."""

from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from relay.dataplane.kernel.txports import ETH_P_8021Q, TxPort, vlan_ports


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
