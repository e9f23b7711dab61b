"""The interface between the relay agent and what forwards confirmed flows."""

from collections.abc import Iterator
from dataclasses import dataclass
from socket import socket
from typing import Any, Protocol, Self

from relay.wire.endpoint import PACKED_SIZE, V4_MAPPED, Endpoint


class DataplaneError(Exception):
    """A dataplane cannot be used; the text says why and what to do.

    DataplaneError
    └── DataplaneFull
    """


class DataplaneFull(DataplaneError):  # noqa: N818  # named after the condition, as queue.Full
    """There is no room for another flow; nothing was installed and nobody was evicted."""


_PARTS = ("client", "vip", "upstream", "transceiver", "route")
_CLIENT, _VIP, _UPSTREAM, _TRANSCEIVER = (
    slice(index * PACKED_SIZE, (index + 1) * PACKED_SIZE) for index in range(4)
)
_FROM_CLIENT = slice(_CLIENT.start, _VIP.stop)
_ROUTE = slice(_TRANSCEIVER.stop, None)


class FlowTuple(bytes):
    """What forwarding one flow needs.

    It is its four addresses, packed, and then its route: as objects of their own they would take
    four times as much memory, and a relay has tens of thousands of flows.

    Args:
        client: The client's transport address, as the relay sees it.
        vip: The relay's public address that the client sends to.
        upstream: The relay's internal address and this flow's own port.
        transceiver: The transceiver's media address.
        route: The 21 raw bytes of the route that made the flow.
    """

    __slots__ = ()

    def __new__(
        cls,
        client: Endpoint,
        vip: Endpoint,
        upstream: Endpoint,
        transceiver: Endpoint,
        route: bytes,
    ) -> Self:
        """Pack them."""
        return cls.of(client.packed, vip.packed, upstream.packed, transceiver.packed, route)

    @classmethod
    def of(cls, *parts: bytes) -> Self:
        """Take the parts in their order, each packed."""
        return super().__new__(cls, b"".join(parts))

    @property
    def client(self) -> Endpoint:
        """The client's transport address, as the relay sees it."""
        return Endpoint.unpack(self[_CLIENT])

    @property
    def vip(self) -> Endpoint:
        """The relay's public address that the client sends to."""
        return Endpoint.unpack(self[_VIP])

    @property
    def upstream(self) -> Endpoint:
        """The relay's internal address and this flow's own port."""
        return Endpoint.unpack(self[_UPSTREAM])

    @property
    def transceiver(self) -> Endpoint:
        """The transceiver's media address."""
        return Endpoint.unpack(self[_TRANSCEIVER])

    @property
    def route(self) -> bytes:
        """The 21 raw bytes of the route that made the flow."""
        return self[_ROUTE]

    @property
    def ends(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four addresses in their order, each packed."""
        return self[_CLIENT], self[_VIP], self[_UPSTREAM], self[_TRANSCEIVER]

    @property
    def is_ipv4(self) -> bool:
        """Whether all four addresses are IPv4."""
        return all(end.startswith(V4_MAPPED) for end in self.ends)

    @property
    def from_client(self) -> bytes:
        """Client and VIP, packed: what the packets of its client, and of no other flow, carry."""
        return self[_FROM_CLIENT]

    def _replace(self, **parts: Any) -> Self:
        """The same with other parts, as a named tuple does it."""
        return type(self)(**{name: parts.get(name, getattr(self, name)) for name in _PARTS})

    def __repr__(self) -> str:
        addresses = f"{self.client}, {self.vip}, {self.upstream}, {self.transceiver}"
        return f"FlowTuple({addresses}, {self.route.hex()})"


@dataclass(frozen=True, slots=True)
class Activity:
    """What passed in one direction of a flow.

    Attributes:
        packets: Packets forwarded.
        bytes: Bytes forwarded, UDP payload only.
        last_seen: When the last one passed, in seconds of the monotonic clock; 0.0 means never.
    """

    packets: int = 0
    bytes: int = 0
    last_seen: float = 0.0


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """A flow as a dataplane holds it, with what passed in each direction."""

    flow: FlowTuple
    to_transceiver: Activity = Activity()
    to_client: Activity = Activity()


class Dataplane(Protocol):
    """What forwards confirmed flows.

    The userspace path alone serves all traffic; a dataplane only takes confirmed flows off it.
    """

    name: str
    # Whether confirmed flows are forwarded here, and not by the agent.
    forwards: bool
    # Whether `steer` works: whether one socket can have the packets of all upstream ports.
    steers: bool

    def steer(self, udp: socket) -> None:
        """Give this socket what comes to any upstream port of its address, until it is closed."""

    def take_over(self) -> None:
        """Forward what is installed, from the next packet on; the state that it starts in."""

    def hand_back(self) -> None:
        """Leave everything to the agent, from the next packet on; what is installed stays."""

    def install(self, flow: FlowTuple) -> None:
        """Forward both directions of a flow from now on; again is fine.

        Raises:
            DataplaneFull: There is no room; nothing was installed.
        """

    def remove(self, flow: FlowTuple) -> None:
        """Stop forwarding a flow; one that is not there is fine."""

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow that is installed, in no order."""

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed here of a flow; nothing if it is not installed."""

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing through here since a moment.

        They come in lists, one for each piece that was looked through, empty ones too: a caller
        may do something else between two pieces.

        Args:
            before: The moment, in seconds of the monotonic clock.
        """

    def counters(self) -> dict[str, int]:
        """Packets by reason since the dataplane was loaded, summed over processors."""

    def look_around(self) -> list[str]:
        """Keep in step with interfaces and neighbours, every few seconds; it may block.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """

    def close(self) -> None:
        """Let go of the dataplane; what is pinned goes on forwarding."""
