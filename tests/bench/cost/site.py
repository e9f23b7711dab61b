"""Where the dataplane is measured: a namespace with the program loaded, and flows for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from pyroute2 import IPRoute

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from tests.bench.cost.frames import PUBLIC_MAC

INTERFACES = ("public", "internal")
VIP, VIP6 = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8:1::10", 3478)
TRANSCEIVER6 = Endpoint("2001:db8:2::254", 5000)
TRANSCEIVER = Endpoint("192.0.2.254", 5000)
PORTS = range(1_024, 65_024)  # at each upstream address
_NETWORKS = "192.0.2.", "198.51.100.", "2001:db8:2::"  # of upstream addresses, by kind of flow
NARROW, CROSS, WIDE = range(3)  # kinds of flow: IPv4, between families, IPv6
TARGET = Target(1, 1, 1)

_CLIENTS = int(IPv4Address("10.0.0.0"))
_CLIENTS6 = int(IPv6Address("2001:db8:ffff::"))
_MAC = "02:00:00:00:00:01"
_NOW = 1_800_000_000.0  # when the routes were made; the program does not look at their expiry


def upstream(number: int, kind: int = NARROW) -> Endpoint:
    """The upstream address of the flow with a number among those of its kind."""
    host = f"{_NETWORKS[kind]}{1 + number // len(PORTS)}"
    return Endpoint(host, PORTS[number % len(PORTS)])


def upstream_hosts(flows: int) -> Iterator[str]:
    """The upstream addresses of so many IPv4 flows, and as many with an IPv6 client."""
    for kind, count in ((NARROW, flows), (CROSS, (flows + 1) // 2), (WIDE, (flows + 1) // 2)):
        for number in range(0, count, len(PORTS)):
            yield upstream(number, kind).host


def client(number: int, *, ip6: bool = False) -> Endpoint:
    """The client of the flow with a number, which has an address of its own."""
    host = IPv6Address(_CLIENTS6 + number) if ip6 else IPv4Address(_CLIENTS + number)
    return Endpoint(str(host), 1024 + number % 60_000)


def narrow(number: int, route: Route) -> FlowTuple:
    """The IPv4 flow with a number."""
    return FlowTuple(client(number), VIP, upstream(number), TRANSCEIVER, route.raw)


def wide(number: int, route: Route) -> FlowTuple:
    """With an even number an IPv6 flow, with an odd one that of an IPv6 client to IPv4."""
    source = client(number, ip6=True)
    if number % 2:
        return FlowTuple(source, VIP6, upstream(number // 2, CROSS), TRANSCEIVER, route.raw)
    return FlowTuple(source, VIP6, upstream(number // 2, WIDE), TRANSCEIVER6, route.raw)


class Site:
    """The namespace with the program in it.

    Args:
        name: Names the namespace and the instance.
        max_flows: For how many flows there is room.
    """

    def __init__(self, name: str, max_flows: int) -> None:
        self.host = Host(name, "bench")
        self.instance = name
        self.max_flows = max_flows
        self.keys = KeyRing({0: os.urandom(32)}, signing_slot=0)
        self.route = mint(TARGET, self.keys, now=_NOW, lifetime=3600, nonce=os.urandom(4))
        self.settings = Settings(
            vips=(VIP, VIP6),
            upstreams=tuple(
                UpstreamRange(host, PORTS[0], PORTS[-1]) for host in upstream_hosts(max_flows // 2)
            ),
            route_keys={(TARGET.cluster, 0): self.keys.route_key(TARGET.cluster, 0)},
        )

    def load(self) -> None:
        """Load the program.

        Raises:
            DataplaneError: It cannot be loaded.
        """
        with self.host.inside():
            xdp.load(
                LoadConfig(
                    instance=self.instance,
                    interfaces=INTERFACES,
                    settings=self.settings,
                    max_flows=self.max_flows,
                    mode=Mode.NATIVE,
                )
            )

    def index(self, interface: str) -> int:
        """The index of one of the interfaces."""
        with self.host.netlink() as netlink:
            return int(netlink.link_lookup(ifname=interface)[0])


@contextmanager
def site(max_flows: int) -> Iterator[Site]:
    """A site with the program loaded, taken down in the end.

    Raises:
        DataplaneError: The program cannot be loaded.
        LabError: The kernel refuses a namespace.
    """
    made = Site(f"bench-{os.getpid()}-{max_flows}", max_flows)
    made.host.create()
    try:
        # What the kernel sends by itself would be measured, too.
        made.host.sysctl("ipv6/conf/default/accept_dad", 0)
        made.host.sysctl("ipv6/conf/default/disable_ipv6", 1)
        with made.host.netlink() as netlink:
            _wire(netlink, made.host, max_flows)
        made.load()
        yield made
    finally:
        xdp.unload(made.instance)
        made.host.remove()


def _wire(netlink: IPRoute, host: Host, max_flows: int) -> None:
    index = {}
    for name in INTERFACES:
        netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
        index[name] = netlink.link_lookup(ifname=name)[0]
        host.sysctl(f"ipv6/conf/{name}/disable_ipv6", 0)
    netlink.link("set", index=index["public"], address=PUBLIC_MAC.hex(":"))
    for link in netlink.get_links():
        netlink.link("set", index=link["index"], state="up")
    for name, address, length in (
        ("public", VIP.host, 24),
        ("public", VIP6.host, 64),
        *(("internal", host, 64 if ":" in host else 24) for host in upstream_hosts(max_flows // 2)),
    ):
        netlink.addr("add", index=index[name], address=address, prefixlen=length)
    for host_address in (TRANSCEIVER.host, TRANSCEIVER6.host):
        netlink.neigh(
            "add", ifindex=index["internal"], dst=host_address, lladdr=_MAC, state="permanent"
        )
