"""Interfaces over netlink: real ones, and VLANs as another library writes them."""

from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from relay.dataplane.kernel import rtnetlink
from relay.dataplane.kernel.rtnetlink import Link, attached_program, links
from relay.netns.host import Host

HEADER = 16  # bytes of struct nlmsghdr


def received(fields: dict[str, Any]) -> Link:
    """What is read from a message that pyroute2 wrote."""
    message = ifinfmsg()
    message.update({"ifi_type": 1} | fields)
    message.encode()
    return rtnetlink._link(bytes(message.data)[HEADER:])


def vlan(protocol: int) -> Link:
    data = {"attrs": [("IFLA_VLAN_ID", 5), ("IFLA_VLAN_PROTOCOL", protocol)]}
    info = {"attrs": [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", data)]}
    return received({"index": 10, "attrs": [("IFLA_LINK", 2), ("IFLA_LINKINFO", info)]})


def test_a_vlan_has_its_number_and_its_interface() -> None:
    assert vlan(0x8100) == Link(10, 2, vlan=5, kind="vlan")


def test_a_service_tag_is_no_vlan_of_ours() -> None:
    assert vlan(0x88A8) == Link(10, 2, kind="vlan")


def test_an_ethernet_interface_is_neither() -> None:
    assert received({"index": 2, "attrs": [("IFLA_IFNAME", "eth0")]}) == Link(2)


def test_a_part_of_a_bond_names_it() -> None:
    info = {"attrs": [("IFLA_INFO_SLAVE_KIND", "bond")]}
    assert received({"index": 2, "attrs": [("IFLA_MASTER", 9), ("IFLA_LINKINFO", info)]}) == Link(
        2, master=9
    )


@pytest.mark.netns
def test_interfaces_of_a_namespace_are_listed(maps_host: Host) -> None:
    with maps_host.netlink() as netlink:
        expected = {link["index"] for link in netlink.get_links()}
    with maps_host.inside():
        assert {link.index for link in links()} == expected


def test_nobody_runs_a_program_on_an_interface_that_is_not_there() -> None:
    assert attached_program(1 << 30) is None


def test_an_attribute_is_read_as_it_is_written() -> None:
    written = rtnetlink.attribute(1, b"abcd") + rtnetlink.attribute(0x8002, b"12345678")
    assert rtnetlink.attributes(written) == {1: b"abcd", 2: b"12345678"}
