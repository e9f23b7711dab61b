"""Changes to a relay's network that send packets another way, and what that way is.

Clients are behind gateways on the relay's public link. The gateways are neighbours that the relay's
host knows by heart, and nobody answers there: which way a packet went is seen on the wire.

```
  client host ----- public ------ relay ----- internal ----- transceiver
      |     gateways A, B           |
      +----------- spare -----------+
             gateway S
```
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT

from relay.core.flowtuple import FlowTuple
from relay.dataplane.kernel.networkchanges import Change
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab import topology
from tests.lab.errors import LabError
from tests.lab.relay_testbed import vip
from tests.lab.topology import (
    CLIENT,
    INTERNAL,
    PUBLIC,
    RELAY,
    TRANSCEIVER,
    TWO_NICS,
    Link,
    LinkEnd,
    Network,
)

SPARE = "spare"
NETWORK = Network(
    TWO_NICS.hosts,
    (
        *(link for link in TWO_NICS.links if link.name in (PUBLIC, INTERNAL)),
        Link(
            SPARE,
            (
                LinkEnd(CLIENT, receives_xdp_redirect=True),
                LinkEnd(RELAY, ("198.18.9.1/24", "2001:db8:9::1/64")),
            ),
        ),
    ),
)
MAC_A, MAC_B, MAC_S = "02:00:00:00:0a:0a", "02:00:00:00:0b:0b", "02:00:00:00:05:05"
OWN_MAC, FORMER_MAC = "02:00:00:00:0c:0c", "02:00:00:00:0d:0d"
MARK = 0x10  # the DSCP and ECN byte of marked packets
SMALL, LARGE, LESS_THAN_LARGE = 172, 1320, 1290  # bytes of payload, and an MTU between
_TABLE = 100  # of routes for marked packets
_LINK_SECONDS = 10.0


class Way(NamedTuple):
    """How a packet left the relay."""

    interface: str
    destination_mac: str
    source_mac: str


Seen = Way | None  # None: it did not leave, which is right for what the kernel has to handle
A_OR_B = (MAC_A, MAC_B)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Those of one IP version."""

    version: int
    clients: str  # of which the first is number 2
    prefix: int
    a: str
    b: str
    s: str

    @property
    def behind(self) -> str:
        """The clients' network."""
        return f"{self.clients}{'0' if self.version == 4 else ''}/{self.prefix}"

    def client(self, number: int) -> str:
        """The address of a client."""
        return f"{self.clients}{number + 2:{'d' if self.version == 4 else 'x'}}"

    def flow(self, number: int) -> FlowTuple:
        """The flow of a client."""
        relay, peer = (
            topology.address(host, INTERNAL, version=self.version) for host in (RELAY, TRANSCEIVER)
        )
        return FlowTuple(
            client=Endpoint(self.client(number), 50000),
            vip=vip(self.version),
            upstream=Endpoint(relay, 20001 + number),
            transceiver=Endpoint(peer, 6000 + number),
            route=bytes(21),
        )


ADDRESSES = {
    4: Addresses(4, "198.18.1.", 24, "203.0.113.21", "203.0.113.22", "198.18.9.21"),
    6: Addresses(6, "2001:db8:a::", 64, "2001:db8:1::21", "2001:db8:1::22", "2001:db8:9::21"),
}


@dataclass(frozen=True, slots=True)
class Relay:
    """The relay's host, as changes use it."""

    host: Host
    netlink: IPRoute
    at: Addresses

    def index(self, name: str) -> int:
        """The index of an interface."""
        found: int = self.netlink.link_lookup(ifname=name)[0]
        return found

    def neighbour(self, how: str, host: str, mac: str, interface: str = PUBLIC) -> None:
        """Change what the host knows of a neighbour."""
        fields = {"lladdr": mac, "state": NUD_PERMANENT} if how != "del" else {}
        self.netlink.neigh(how, dst=host, ifindex=self.index(interface), **fields)

    def route(self, how: str, gateway: str | None, to: str | None = None, **fields: Any) -> None:
        """Change a route to clients, to all of them unless told otherwise."""
        via = {"gateway": gateway} if gateway else {}
        self.netlink.route(how, dst=to or self.at.behind, **via, **fields)

    def client_route(self, how: str, gateway: str, **fields: Any) -> None:
        """Change the route to the first client alone."""
        self.route(
            how, gateway, f"{self.at.client(0)}/{32 if self.at.version == 4 else 128}", **fields
        )

    def multipath(self, how: str, *gateways: str) -> None:
        """Change the route to all clients to one by several gateways."""
        self.netlink.route(
            how, dst=self.at.behind, multipath=[{"gateway": each} for each in gateways]
        )

    def up(self, name: str) -> None:
        """Bring an interface up, and wait until it can send."""
        self.netlink.link("set", index=self.index(name), state="up")
        deadline = time.monotonic() + _LINK_SECONDS
        while self.netlink.get_links(self.index(name))[0].get("operstate") != "UP":
            if time.monotonic() > deadline:
                raise LabError(f"The link {name} is not up after {_LINK_SECONDS:.0f} s.")
            time.sleep(topology.POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Reroute:
    """A change after which packets of some flows go another way.

    Attributes:
        name: What people call it.
        kind: What the kernel tells of it.
        change: Makes it.
        old: Whether a packet went as it did before.
        new: Whether it went as it should since.
        flows: How many flows there are.
        movers: Those that go another way; None for all that went the old one. The others keep
            theirs.
        prepare: What is needed before, besides the gateways and a route by A.
        marked: The flows whose packets are marked.
        large: The flows whose packets are large.
    """

    name: str
    kind: Change
    change: Callable[[Relay], None]
    old: Callable[[Seen], bool]
    new: Callable[[Seen], bool]
    flows: int = 1
    movers: tuple[int, ...] | None = None
    prepare: Callable[[Relay], None] = lambda _: None
    marked: tuple[int, ...] = ()
    large: tuple[int, ...] = ()


def by(mac: str, source: str | None = None) -> Callable[[Seen], bool]:
    """Whether a packet went to a MAC address, and from one if it matters."""
    return lambda way: (
        way is not None and way.destination_mac == mac and source in (None, way.source_mac)
    )


def _own_mac(relay: Relay, gateway_mac: str) -> None:
    relay.netlink.link("set", index=relay.index(PUBLIC), address=OWN_MAC)
    relay.neighbour("replace", relay.at.a, gateway_mac)  # the kernel has forgotten all neighbours


def _spare_route(relay: Relay) -> None:
    relay.route("add", relay.at.s, priority=2000)


def _by_table(relay: Relay) -> None:
    relay.route("add", relay.at.b, table=_TABLE)


def _rule(relay: Relay, how: str) -> None:
    family = {4: 2, 6: 10}[relay.at.version]  # AF_INET, AF_INET6
    relay.netlink.rule(how, tos=MARK, table=_TABLE, priority=100, family=family)


def _two_ways(relay: Relay) -> None:
    relay.route("del", relay.at.a)
    relay.multipath("add", relay.at.a, relay.at.b)


def _one_way(relay: Relay) -> None:
    relay.route("replace", relay.at.b)


REROUTES = (
    Reroute(
        "neighbour's MAC",
        Change.NEIGHBOURS,
        lambda relay: relay.neighbour("replace", relay.at.a, MAC_B),
        by(MAC_A),
        by(MAC_B),
    ),
    Reroute(
        "neighbour lost",
        Change.NEIGHBOURS,
        lambda relay: relay.neighbour("del", relay.at.a, MAC_A),
        by(MAC_A),
        lambda way: way is None,
    ),
    Reroute(
        "another gateway",
        Change.ROUTES,
        lambda relay: relay.route("replace", relay.at.b),
        by(MAC_A),
        by(MAC_B),
    ),
    Reroute(
        "route for one client",
        Change.ROUTES,
        lambda relay: relay.client_route("add", relay.at.b),
        by(MAC_A),
        by(MAC_B),
        flows=8,  # when an answer is too old, it is mostly one of the others that asks again
        movers=(0,),
    ),
    Reroute(
        "interface down",
        Change.LINKS,
        lambda relay: relay.netlink.link("set", index=relay.index(PUBLIC), state="down"),
        by(MAC_A),
        by(MAC_S),
        prepare=_spare_route,
    ),
    Reroute(
        "own MAC",
        Change.LINKS,
        lambda relay: _own_mac(relay, MAC_A),
        by(MAC_A, FORMER_MAC),
        by(MAC_A, OWN_MAC),
    ),
    # Here and there the two addresses have the same exclusive or: a poor hash finds no difference.
    Reroute(
        "own and neighbour's MAC",
        Change.LINKS,
        lambda relay: _own_mac(relay, MAC_B),
        by(MAC_A, FORMER_MAC),
        by(MAC_B, OWN_MAC),
    ),
    Reroute(
        "smaller MTU",
        Change.LINKS,
        lambda relay: relay.netlink.link("set", index=relay.index(PUBLIC), mtu=LESS_THAN_LARGE),
        by(MAC_A),
        lambda way: way is None,  # fragments are the kernel's business
        flows=2,
        movers=(0,),
        large=(0,),
    ),
    Reroute(
        "rule for a DSCP",
        Change.ROUTES,
        lambda relay: _rule(relay, "add"),
        by(MAC_A),
        by(MAC_B),
        flows=2,
        movers=(0,),
        prepare=_by_table,
        marked=(0,),
    ),
    Reroute(
        "ECMP, one way less",
        Change.ROUTES,
        _one_way,
        by(MAC_A),
        by(MAC_B),
        flows=8,
        prepare=_two_ways,
    ),
)


def prepare(relay: Relay, reroute: Reroute) -> None:
    """Make everything as it is before a change, whatever was changed before."""
    at = relay.at
    relay.host.sysctl(f"ipv6/conf/{PUBLIC}/keep_addr_on_down", 1)
    _clean(relay)
    for name in (PUBLIC, SPARE):
        relay.up(name)
    for host, mac, name in ((at.a, MAC_A, PUBLIC), (at.b, MAC_B, PUBLIC), (at.s, MAC_S, SPARE)):
        relay.neighbour("replace", host, mac, name)
    relay.route("add", at.a)
    reroute.prepare(relay)


def _clean(relay: Relay) -> None:
    family = {4: 2, 6: 10}[relay.at.version]
    for rule in relay.netlink.get_rules(family=family, priority=100):
        if rule.get("FRA_PRIORITY") == 100:
            _rule(relay, "del")
    for table in (254, _TABLE):
        for route in relay.netlink.get_routes(family=family, table=table):
            if str(route.get("dst")).startswith(relay.at.clients):
                relay.netlink.route(
                    "del", dst=f"{route.get('dst')}/{route['dst_len']}", table=table
                )
    relay.netlink.link("set", index=relay.index(PUBLIC), address=FORMER_MAC, mtu=1500)
