"""Loading in a host, what runs there then, and flows for its maps."""

import struct
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.flowrecord import Activity
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, LoadReport
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.ticks import Ticks, tick_seconds
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint

FLOW = FlowTuple(
    Endpoint("198.51.100.7", 1),
    Endpoint("203.0.113.10", 3478),
    Endpoint("192.0.2.1", 20001),
    Endpoint("192.0.2.2", 5000),
    bytes(21),
)
MAX_FLOWS = 8
NewConfig = Callable[..., LoadConfig]
VIP = Endpoint("203.0.113.10", 3478)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)
VIP6 = Endpoint("2001:db8:1::10", 3478)
ROUTE = bytes(range(21))
SEEN_WITHIN = 66 * tick_seconds()  # how exactly a flow knows when it was seen


def flow(number: int, route: bytes = ROUTE, transceiver: Endpoint = TRANSCEIVER) -> FlowTuple:
    """A flow of a client with that number."""
    client, upstream = Endpoint("198.51.100.7", number), Endpoint("192.0.2.1", 20000 + number)
    return FlowTuple(client, VIP, upstream, transceiver, route)


def entries(pins: Pins) -> dict[str, list[int]]:
    """What the table of flows holds: the words of its records and its index that are not zero."""
    found = {}
    for name in ("flow_records", "flow_index"):
        with closing(MappedArray(pins.opened(name))) as table:
            found[name] = list(filter(None, table.longs))
    return found


def clear(pins: Pins) -> None:
    """Remove all flows."""
    for name in ("flow_index", "flow_records"):
        with closing(MappedArray(pins.opened(name))) as table:
            table.octets[:] = bytes(len(table.octets))


def count_packets(pins: Pins, packets: int, moment: float = 5.0) -> Activity:
    """Let all flows have counted that many packets of 10 bytes, the last at a moment.

    Returns:
        What that comes to in each direction, as far as it is known.
    """
    seen = Ticks.read(pins.ticks).at(moment)
    with closing(MappedArray(pins.opened("flow_records"))) as table:
        for position in range(table.count):
            element = table.element(position)
            if element[table.spans["ends.kind"].start]:
                for name, code, number in (
                    ("packets", "2I", packets),
                    ("bytes", "2Q", 10 * packets),
                    ("seen", "2I", seen),
                ):
                    struct.pack_into(f"={code}", element, table.spans[name].start, number, number)
    last_seen: Any = pytest.approx(moment, abs=SEEN_WITHIN)
    return Activity(packets, 10 * packets, last_seen)


def load(host: Host, config: LoadConfig) -> LoadReport:
    with host.inside():
        return xdp.load(config)


def link_ids(instance: str) -> dict[str, int]:
    """The kernel's numbers of an instance's links."""
    found = {}
    for interface, path in Pins(instance).links().items():
        with bpfsys.pinned(path) as fd:
            found[interface] = bpfsys.link_info(fd).id
    return found


def program_of(config: LoadConfig, interface: str) -> int:
    """The number of the program that an interface runs."""
    with bpfsys.pinned(Pins(config.instance).link(interface)) as fd:
        return bpfsys.link_info(fd).program_id


def running_program(host: Host, interface: str) -> tuple[int | None, str | None]:
    """The number of the program that an interface runs, whoever attached it, and how."""
    with host.netlink() as netlink:
        (link,) = netlink.get_links(ifname=interface)
    return (
        link.get_nested("IFLA_XDP", "IFLA_XDP_PROG_ID"),
        link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED"),
    )
