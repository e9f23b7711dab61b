"""Where the dataplane is measured: a namespace with the program loaded, and flows for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from pyroute2 import IPRoute

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from tests.bench.cost.frames import CLIENT_MAC, INTERNAL_MAC, PUBLIC_MAC, TRANSCEIVER_MAC
from tests.lab.links import bring_up

INTERFACES = PUBLIC, INTERNAL = ("public", "internal")
VIP, VIP6 = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8:1::10", 3478)
TRANSCEIVER6 = Endpoint("2001:db8:2::254", 5000)
TRANSCEIVER = Endpoint("192.0.2.254", 5000)
PORTS = range(10_000, 60_000)  # at each upstream address
CLIENT_PORTS = range(1_024, 61_024)
TARGET = Target(1, 1, 1)

_CLIENTS, _CLIENTS6 = int(IPv4Address("10.0.0.0")), int(IPv6Address("2001:db8:ffff::"))
_UPSTREAMS, _UPSTREAMS6 = int(IPv4Address("192.0.2.1")), int(IPv6Address("2001:db8:2::1"))
_GATEWAYS = ("10.0.0.0/8", "203.0.113.254"), ("2001:db8:ffff::/64", "2001:db8:1::254")
_NOW = 1_800_000_000.0  # when the routes were made; the program does not look at their expiry


@dataclass(frozen=True, slots=True)
class Family:
    """Which addresses flows have. Those of a site are alike.

    Attributes:
        name: What people call such flows.
        ip6: Whether clients have IPv6.
        upstream_ip6: Whether the transceiver has.
    """

    name: str
    ip6: bool = False
    upstream_ip6: bool = False

    @property
    def vip(self) -> Endpoint:
        """The relay's public address."""
        return VIP6 if self.ip6 else VIP

    @property
    def transceiver(self) -> Endpoint:
        """The transceiver's address."""
        return TRANSCEIVER6 if self.upstream_ip6 else TRANSCEIVER

    def client(self, number: int) -> Endpoint:
        """The client of the flow with a number, which has an address of its own."""
        host = IPv6Address(_CLIENTS6 + number) if self.ip6 else IPv4Address(_CLIENTS + number)
        return Endpoint(str(host), CLIENT_PORTS[number % len(CLIENT_PORTS)])

    def upstream(self, number: int) -> Endpoint:
        """The upstream address of the flow with a number."""
        address, port = divmod(number, len(PORTS))
        host = (
            IPv6Address(_UPSTREAMS6 + address)
            if self.upstream_ip6
            else IPv4Address(_UPSTREAMS + address)
        )
        return Endpoint(str(host), PORTS[port])

    def upstreams(self, flows: int) -> list[str]:
        """The upstream addresses that so many flows need."""
        return [self.upstream(number).host for number in range(0, flows, len(PORTS))]

    def flow(self, number: int, route: Route) -> FlowTuple:
        """The flow with a number."""
        ends = self.client(number), self.vip, self.upstream(number), self.transceiver
        return FlowTuple(*ends, route.raw)


IPV4, IPV6 = Family("IPv4"), Family("IPv6", ip6=True, upstream_ip6=True)
CROSS = Family("cross-family", ip6=True)
FAMILIES = IPV4, IPV6, CROSS


class Site:
    """The namespace with the program in it.

    Args:
        family: The addresses of its flows.
        max_flows: For how many flows there is room.
    """

    def __init__(self, family: Family, max_flows: int) -> None:
        self.family = family
        self.instance = f"bench-{os.getpid()}-{FAMILIES.index(family)}-{max_flows}"
        self.host = Host(self.instance, "bench")
        self.max_flows = max_flows
        self.upstreams = family.upstreams(max_flows)
        self.keys = KeyRing({0: os.urandom(32)}, signing_slot=0)
        self.route = mint(TARGET, self.keys, now=_NOW, lifetime=3600, nonce=os.urandom(4))
        self.settings = Settings(
            vips=(VIP, VIP6),
            upstreams=tuple(UpstreamRange(host, PORTS[0], PORTS[-1]) for host in self.upstreams),
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
def site(family: Family, max_flows: int) -> Iterator[Site]:
    """A site with the program loaded, taken down in the end.

    Raises:
        DataplaneError: The program cannot be loaded.
        LabError: The kernel refuses a namespace.
    """
    made = Site(family, max_flows)
    made.host.create()
    try:
        # What the kernel sends by itself would be measured, too.
        made.host.sysctl("ipv6/conf/default/accept_dad", 0)
        made.host.sysctl("ipv6/conf/default/disable_ipv6", 1)
        with made.host.netlink() as netlink:
            _wire(netlink, made)
        made.load()
        yield made
    finally:
        xdp.unload(made.instance)
        made.host.remove()


def _wire(netlink: IPRoute, made: Site) -> None:
    index = {}
    for name, mac in ((PUBLIC, PUBLIC_MAC), (INTERNAL, INTERNAL_MAC)):
        netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
        index[name] = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", index=index[name], address=mac.hex(":"))
        with made.host.inside():
            set_offload(f"{name}-far", Offload.GRO, on=True)
        made.host.sysctl(f"ipv6/conf/{name}/disable_ipv6", 0)
        made.host.sysctl(f"ipv4/conf/{name}/forwarding", 1)  # for the FIB ceiling
    bring_up(netlink)
    addresses = [(PUBLIC, VIP.host), (PUBLIC, VIP6.host)]
    for name, address in (*addresses, *((INTERNAL, host) for host in made.upstreams)):
        length = 64 if ":" in address else 24
        netlink.addr("add", index=index[name], address=address, prefixlen=length)
    neighbours = [(PUBLIC, gateway, CLIENT_MAC) for _, gateway in _GATEWAYS]
    neighbours.append((INTERNAL, made.family.transceiver.host, TRANSCEIVER_MAC))
    for name, address, mac in neighbours:
        netlink.neigh(
            "add", ifindex=index[name], dst=address, lladdr=mac.hex(":"), state="permanent"
        )
    for destination, gateway in _GATEWAYS:
        netlink.route("add", dst=destination, gateway=gateway)
