"""Transport addresses: an IP address and a UDP port."""

import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple, Self

from relay.wire.errors import EndpointError

PACKED_SIZE = 18
V4_MAPPED = bytes(10) + b"\xff\xff"  # how a packed IPv4 address begins
# Packing and unpacking take a microsecond, and most packets are from those of a moment ago.
_RECENT = 2048
_BROADCAST = IPv4Address("255.255.255.255")


class Endpoint(NamedTuple):
    """A transport address, in canonical form, that sockets take as it is.

    Attributes:
        host: The address as text: dotted for IPv4, compressed (RFC 5952) for IPv6. An
            IPv4-mapped IPv6 address is always written as IPv4, so that one peer has one spelling.
        port: The UDP port, host byte order, 0 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``203.0.113.10:3478`` or ``[2001:db8::1]:3478``.

        Raises:
            EndpointError: The text is not such an address; names are not looked up.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or (":" in host and not bracketed):
            raise EndpointError(
                f"{text!r} is not a transport address: "
                "write 203.0.113.10:3478 or [2001:db8::1]:3478"
            )
        if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise EndpointError(f"{text!r} has no port from 1 to 65535")
        return cls(canonical_host(host[1:-1] if bracketed else host), int(port))

    @classmethod
    def of(cls, address: Sequence[Any]) -> Self:
        """Take the address that a socket reported.

        Raises:
            EndpointError: It is a link-local IPv6 address, which means nothing without its zone.
        """
        host: str = address[0]
        # The system's own text is canonical but for these (it writes ::192.0.2.1, too), and this
        # runs for every datagram.
        if host.startswith("::") or "%" in host:
            host = canonical_host(host)
        return cls(host, address[1])

    @staticmethod
    def unpack(packed: bytes) -> "Endpoint":
        """Read the 18 bytes that `packed` writes.

        Raises:
            EndpointError: There are not exactly 18 bytes.
        """
        return _unpack(packed)

    @property
    def packed(self) -> bytes:
        """18 bytes: the address (IPv4 as IPv4-mapped IPv6), then the port; network byte order."""
        return _pack(self)

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_one_host(self) -> bool:
        """Whether it can be the address of one host, wherever one asks.

        Unspecified, multicast, broadcast and link-local addresses are not.
        """
        address = ip_address(self.host)
        return not (
            address.is_unspecified
            or address.is_multicast
            or address.is_link_local
            or address == _BROADCAST
        )

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(_RECENT)
def _unpack(packed: bytes) -> Endpoint:
    if len(packed) != PACKED_SIZE:
        raise EndpointError(f"a packed transport address has {PACKED_SIZE} bytes")
    port = int.from_bytes(packed[16:], "big")
    if packed.startswith(V4_MAPPED):
        return Endpoint(socket.inet_ntoa(packed[12:16]), port)
    return Endpoint(str(IPv6Address(packed[:16])), port)


@lru_cache(_RECENT)
def _pack(endpoint: Endpoint) -> bytes:
    port = endpoint.port.to_bytes(2, "big")
    if ":" in endpoint.host:
        return socket.inet_pton(socket.AF_INET6, endpoint.host) + port
    return V4_MAPPED + socket.inet_aton(endpoint.host) + port


@lru_cache(_RECENT)
def canonical_host(text: str) -> str:
    """The canonical text of an IP address; an IPv4-mapped IPv6 address becomes IPv4.

    Raises:
        EndpointError: The text is not an IP address, or carries a zone such as ``%eth0``.
    """
    try:
        address = ip_address(text)
    except (AddressValueError, ValueError):
        raise EndpointError(f"{text!r} is not an IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise EndpointError(f"{text!r} has a zone; use an address that needs none")
        return str(address.ipv4_mapped or address)
    return str(address)
