"""Loading in a host, what runs there then, and flows for its maps."""

import sys
from collections.abc import Callable

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, LoadReport
from relay.dataplane.kernel.pins import PinnedMap, Pins
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
ROUTE = bytes(range(21))


def flow(number: int, route: bytes = ROUTE, transceiver: Endpoint = TRANSCEIVER) -> FlowTuple:
    """A flow of a client with that number."""
    client, upstream = Endpoint("198.51.100.7", number), Endpoint("192.0.2.1", 20000 + number)
    return FlowTuple(client, VIP, upstream, transceiver, route)


def entries(pins: Pins) -> dict[bytes, bytes]:
    """What the map of IPv4 flows holds."""
    with PinnedMap(pins.map("flows4")) as flows:
        return dict(flows.items())


def count_packets(pins: Pins, packets: int) -> None:
    """Let all entries have counted that many packets of 10 bytes, the last after 5 s."""
    with PinnedMap(pins.map("flows4")) as flows:
        for key, value in list(flows.items()):
            changed = bytearray(value)
            for path, number in (
                ("packets", packets),
                ("bytes", 10 * packets),
                ("last_seen_ns", 5 * 10**9),
            ):
                changed[flows.value.spans[f"state.{path}"]] = number.to_bytes(8, sys.byteorder)
            flows.update(key, bytes(changed))


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
