"""Loading in a host, and what runs there then."""

import os
from collections.abc import Callable

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, LoadReport
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint

FLOW = FlowTuple(
    Endpoint("198.51.100.7", 1),
    Endpoint("203.0.113.10", 3478),
    Endpoint("192.0.2.1", 20001),
    Endpoint("192.0.2.2", 5000),
    bytes(21),
)
NewConfig = Callable[..., LoadConfig]


def load(host: Host, config: LoadConfig) -> LoadReport:
    with host.inside():
        return xdp.load(config)


def link_ids(instance: str) -> dict[str, int]:
    """The kernel's numbers of an instance's links."""
    found = {}
    for interface, path in Pins(instance).links().items():
        fd = bpfsys.obj_get(path)
        found[interface] = bpfsys.link_info(fd).id
        os.close(fd)
    return found


def program_of(config: LoadConfig, interface: str) -> int:
    """The number of the program that an interface runs."""
    fd = bpfsys.obj_get(Pins(config.instance).link(interface))
    try:
        return bpfsys.link_info(fd).program_id
    finally:
        os.close(fd)


def running_program(host: Host, interface: str) -> tuple[int | None, str | None]:
    """The number of the program that an interface runs, whoever attached it, and how."""
    with host.netlink() as netlink:
        (link,) = netlink.get_links(ifname=interface)
    return (
        link.get_nested("IFLA_XDP", "IFLA_XDP_PROG_ID"),
        link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED"),
    )
