"""What forwarding one flow needs: its four addresses, its route and its client's transport."""

from socket import AF_INET, AF_INET6, AddressFamily
from typing import Any, Self

from relay.wire.endpoint import PACKED_SIZE, V4_MAPPED, Endpoint
from relay.wire.route import RAW_SIZE, TARGET
from relay.wire.transport import Transport

_PARTS = ("client", "vip", "upstream", "transceiver", "route", "transport")
_CLIENT, _VIP, _UPSTREAM, _TRANSCEIVER = (
    slice(index * PACKED_SIZE, (index + 1) * PACKED_SIZE) for index in range(4)
)
_FROM_CLIENT = slice(_CLIENT.start, _VIP.stop)
_RELAYS = slice(_CLIENT.start, _UPSTREAM.stop)
_ROUTE = slice(_TRANSCEIVER.stop, _TRANSCEIVER.stop + RAW_SIZE)
_TARGET = slice(_ROUTE.start + TARGET.start, _ROUTE.start + TARGET.stop)
# Behind everything, and nothing for UDP: that are nearly all flows, and the kernel's and the
# mirror's without exception.
_TRANSPORT = slice(_ROUTE.stop, None)
_MARKS = {Transport.UDP: b"", Transport.TCP: b"\x01"}


def client_prefix(packed: bytes) -> bytes:
    """The network that a client is in, of its packed address: a /24 of IPv4, a /48 of IPv6."""
    return packed[: len(V4_MAPPED) + 3] if packed.startswith(V4_MAPPED) else packed[:6]


def family_of(packed: bytes) -> AddressFamily:
    """The address family of a packed address."""
    return AF_INET if packed.startswith(V4_MAPPED) else AF_INET6


class Source(bytes):
    """Where a client's datagram came from: client and VIP, packed, and a mark of the transport.

    Different clients have different bytes.

    Args:
        client: The client's transport address, as the relay sees it.
        vip: Where the client sends to.
        transport: How it reaches that. The same address of another transport is another client.
    """

    __slots__ = ()

    def __new__(cls, client: Endpoint, vip: Endpoint, transport: Transport = Transport.UDP) -> Self:
        """Pack them."""
        return cls.of(client.packed, vip.packed, _MARKS[transport])

    @classmethod
    def of(cls, *parts: bytes) -> Self:
        """Take the parts in their order, each packed; no mark stands for UDP."""
        return bytes.__new__(cls, b"".join(parts))

    @property
    def client(self) -> Endpoint:
        """The client's transport address, as the relay sees it."""
        return Endpoint.unpack(self[_CLIENT])

    @property
    def packed_client(self) -> bytes:
        """The same, packed."""
        return self[_CLIENT]

    @property
    def client_port(self) -> int:
        """The port in that."""
        return int.from_bytes(self[_CLIENT.stop - 2 : _CLIENT.stop], "big")

    @property
    def vip(self) -> Endpoint:
        """Where the client sends to."""
        return Endpoint.unpack(self[_VIP])

    @property
    def ends(self) -> bytes:
        """Client and VIP, each packed."""
        return self[_FROM_CLIENT]

    @property
    def mark(self) -> bytes:
        """What stands for the transport in the end of a `FlowTuple`, too."""
        return self[_FROM_CLIENT.stop :]

    @property
    def transport(self) -> Transport:
        """How the client reaches the VIP."""
        return Transport.TCP if self.mark else Transport.UDP


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
        transport: How the client reaches the VIP.
    """

    __slots__ = ()

    def __new__(
        cls,
        client: Endpoint,
        vip: Endpoint,
        upstream: Endpoint,
        transceiver: Endpoint,
        route: bytes,
        *,
        transport: Transport = Transport.UDP,
    ) -> Self:
        """Pack them."""
        ends = (client.packed, vip.packed, upstream.packed, transceiver.packed)
        return cls.of(*ends, route, _MARKS[transport])

    @classmethod
    def of(cls, *parts: bytes) -> Self:
        """Take the parts in their order, each packed."""
        return bytes.__new__(cls, b"".join(parts))

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
    def transport(self) -> Transport:
        """How the client reaches the VIP."""
        return Transport.TCP if self.is_connection else Transport.UDP

    @property
    def without_transceiver(self) -> bytes:
        """Client, VIP and upstream address, each packed."""
        return self[_RELAYS]

    @property
    def packed_client(self) -> bytes:
        """The client's transport address, packed."""
        return self[_CLIENT]

    @property
    def packed_vip(self) -> bytes:
        """The relay's public address that the client sends to, packed."""
        return self[_VIP]

    @property
    def packed_upstream(self) -> bytes:
        """The relay's internal address and this flow's own port, packed."""
        return self[_UPSTREAM]

    @property
    def packed_transceiver(self) -> bytes:
        """The transceiver's media address, packed."""
        return self[_TRANSCEIVER]

    @property
    def packed_target(self) -> bytes:
        """Who the route leads to: `relay.wire.route.TARGET` of its bytes."""
        return self[_TARGET]

    @property
    def upstream_family(self) -> AddressFamily:
        """The address family of the relay's and the transceiver's addresses."""
        return family_of(self[_TRANSCEIVER])

    @property
    def ends(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four addresses in their order, each packed."""
        return self[_CLIENT], self[_VIP], self[_UPSTREAM], self[_TRANSCEIVER]

    @property
    def is_ipv4(self) -> bool:
        """Whether all four addresses are IPv4."""
        return (
            self.startswith(V4_MAPPED, _CLIENT.start)
            and self.startswith(V4_MAPPED, _VIP.start)
            and self.startswith(V4_MAPPED, _UPSTREAM.start)
            and self.startswith(V4_MAPPED, _TRANSCEIVER.start)
        )

    @property
    def is_connection(self) -> bool:
        """Whether its client reaches the VIP over TCP."""
        return len(self) > _ROUTE.stop

    @property
    def from_client(self) -> bytes:
        """What tells its client from all others: the bytes of its `Source`."""
        return self[_FROM_CLIENT] + self[_TRANSPORT]

    def at(self, upstream: bytes) -> Self:
        """The same at another upstream address, packed."""
        return type(self).of(self[: _UPSTREAM.start], upstream, self[_UPSTREAM.stop :])

    def _replace(self, **parts: Any) -> Self:
        """The same with other parts, as a named tuple does it."""
        return type(self)(**{name: parts.get(name, getattr(self, name)) for name in _PARTS})

    def __repr__(self) -> str:
        addresses = f"{self.client}, {self.vip}, {self.upstream}, {self.transceiver}"
        return f"FlowTuple({addresses}, {self.route.hex()}, {self.transport})"
