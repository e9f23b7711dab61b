"""A network with several relays behind a router, which spreads clients over them. Pure.

```
                                +--- relay-a ---+
  client ----- access ----- router - relay-b - transceiver
     |                          +--- relay-c ---+    |
     +------------------ signaling ------------------+
```

Every relay has the VIP on its loopback, a link to the router, and one to the transceiver, whose
address for media is on its own loopback. Redis and signaling run at the transceiver.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.wire.endpoint import Endpoint
from tests.lab.topology import Link, LinkEnd, Network

CLIENT, ROUTER, TRANSCEIVER = "client", "router", "transceiver"
ACCESS, SIGNALING = "access", "signaling"

VIP = Endpoint("203.0.113.10", 3478)
CLIENT_ADDRESS = "198.51.100.2"
CORE = "10.0.0.1"  # the transceiver's
MEDIA, REDIS = Endpoint(CORE, 5000), Endpoint(CORE, 6379)  # of a cluster of Redis the first
GENERATED = Endpoint(CORE, 5100)  # where generated flows end
CONTROL = Endpoint("127.0.0.1", 9000)
SIGNALING_ENDPOINT = Endpoint("10.9.0.2", 8080)
HEALTH = Endpoint("127.0.0.1", 9100)  # of a relay, in its own host


@dataclass(frozen=True, slots=True)
class RelayHost:
    """A relay's place.

    Attributes:
        name: A letter.
        number: From 1 on.
    """

    name: str
    number: int

    @property
    def host(self) -> str:
        """Its host's name."""
        return f"relay-{self.name}"

    @property
    def outside(self) -> str:
        """The name of its link with the router, and of the interfaces at both ends."""
        return f"out-{self.name}"

    @property
    def inside(self) -> str:
        """The same of its link with the transceiver."""
        return f"in-{self.name}"

    @property
    def router(self) -> str:
        """The router's address on its link."""
        return f"192.0.2.{4 * self.number + 1}"

    @property
    def address(self) -> str:
        """Its address on that link."""
        return f"192.0.2.{4 * self.number + 2}"

    @property
    def upstream(self) -> str:
        """Its address towards the transceiver."""
        return f"10.0.{self.number}.1"

    @property
    def upstreams(self) -> tuple[str, ...]:
        """That address and two more, for many flows."""
        return self.upstream, f"10.1.{self.number}.1", f"10.2.{self.number}.1"

    @property
    def links(self) -> tuple[Link, Link]:
        """Both."""
        core, own, *more = f"10.0.{self.number}.2/30", *self.upstreams
        besides = tuple(f"{each}/32" for each in more)
        return (
            Link(
                self.outside,
                (
                    LinkEnd(ROUTER, (f"{self.router}/30",), receives_xdp_redirect=True),
                    LinkEnd(self.host, (f"{self.address}/30",), gateways=(self.router,)),
                ),
            ),
            Link(
                self.inside,
                (
                    LinkEnd(
                        TRANSCEIVER,
                        (core,),
                        routes=tuple((each, None) for each in besides),
                        receives_xdp_redirect=True,
                    ),
                    LinkEnd(self.host, (f"{own}/30", *besides), routes=((f"{CORE}/32", None),)),
                ),
            ),
        )


def relays(count: int) -> tuple[RelayHost, ...]:
    """The first so many relays; there are letters for 26."""
    return tuple(RelayHost(name, number) for number, name in enumerate(_LETTERS[:count], start=1))


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
RELAYS = relays(3)
_BY_UPSTREAM = {each: relay for relay in relays(len(_LETTERS)) for each in relay.upstreams}


def relay_of(upstream: Endpoint) -> RelayHost:
    """The relay that has an upstream address."""
    return _BY_UPSTREAM[upstream.host]


def network(relays: Sequence[RelayHost], clients: Sequence[str] = (CLIENT_ADDRESS,)) -> Network:
    """The network of these relays, whose clients have these addresses."""
    return Network(
        (CLIENT, ROUTER, TRANSCEIVER, *(relay.host for relay in relays)),
        (
            Link(
                ACCESS,
                (
                    LinkEnd(ROUTER, ("198.51.100.1/24",)),
                    LinkEnd(
                        CLIENT,
                        tuple(f"{address}/24" for address in clients),
                        gateways=("198.51.100.1",),
                    ),
                ),
            ),
            *(link for relay in relays for link in relay.links),
            # As in `tests.lab.topology`, clients have no address of their own towards signaling.
            Link(
                SIGNALING,
                (
                    LinkEnd(CLIENT, routes=((f"{SIGNALING_ENDPOINT.host}/32", clients[0]),)),
                    LinkEnd(
                        TRANSCEIVER,
                        (f"{SIGNALING_ENDPOINT.host}/32",),
                        routes=tuple((f"{address}/32", None) for address in clients),
                    ),
                ),
            ),
        ),
        (*((relay.host, f"{VIP.host}/32") for relay in relays), (TRANSCEIVER, f"{CORE}/32")),
    )
