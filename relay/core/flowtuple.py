"""What forwarding one flow needs: its four addresses and its route."""

from typing import Any, Self

from relay.wire.endpoint import PACKED_SIZE, V4_MAPPED, Endpoint

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
