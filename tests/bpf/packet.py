"""Reading an IP packet, for the model of the program: plain, and by the RFCs."""

from dataclasses import dataclass
from typing import NamedTuple

from relay.wire.endpoint import Endpoint

MAPPED = bytes(10) + b"\xff\xff"
UDP = 17
FRAGMENT_HEADER, AUTHENTICATION = 44, 51
EXTENSIONS = {0, 43, FRAGMENT_HEADER, AUTHENTICATION, 60}
MAX_EXTENSIONS = 6


class Address(NamedTuple):
    """A transport address: 4 or 16 bytes, and a port."""

    host: bytes
    port: int

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Address":
        """The same address as the wire has it."""
        return cls(host(endpoint.host), endpoint.port)

    @property
    def endpoint(self) -> Endpoint:
        """The same address as people write it."""
        mapped = self.host if len(self.host) == 16 else MAPPED + self.host
        return Endpoint.unpack(mapped + self.port.to_bytes(2, "big"))


def host(text: str) -> bytes:
    """An address as the wire has it."""
    packed = Endpoint(text, 0).packed[:16]
    return packed if ":" in text else packed[12:]


class Stop(Exception):  # noqa: N818  # it is no error
    """The reason that a frame is not forwarded for."""


class Wrapped(Stop):
    """The packet is left to the network stack to unwrap.

    Args:
        reason: Which is counted.
        destination: Where its datagram goes, if that can be told.
        unreadable: Whether there is more around it than is looked through.
    """

    def __init__(
        self, reason: str, destination: Address | None = None, *, unreadable: bool = False
    ) -> None:
        super().__init__(reason)
        self.destination = destination
        self.unreadable = unreadable


@dataclass
class Packet:
    """A UDP packet, taken apart."""

    source: Address
    destination: Address
    tos: int
    ttl: int
    ip_header: bytes
    udp: bytes  # the datagram with its header, as long as UDP says
    padding: bytes  # whatever lies behind it in the frame
    ip_length: int  # of the IP packet's payload

    @property
    def payload(self) -> bytes:
        return self.udp[8:]

    @property
    def checksum(self) -> int:
        return int.from_bytes(self.udp[6:8], "big")

    @property
    def is_ip6(self) -> bool:
        return len(self.source.host) == 16


def read_ip4(data: bytes) -> Packet:
    if len(data) < 20 or data[0] >> 4 != 4 or data[0] & 15 < 5:
        raise Stop("malformed")
    if data[9] != UDP:
        raise Stop("not_udp")
    flags, offset = data[6] >> 5, int.from_bytes(data[6:8], "big") & 0x1FFF
    if flags & 1 or offset:
        datagram = data[(data[0] & 15) * 4 :]
        raise Wrapped("fragment", _destination(data[16:20], datagram) if offset == 0 else None)
    header_size, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if not header_size <= total <= len(data):
        raise Stop("malformed")
    hosts = data[12:16], data[16:20]
    return _read_udp(
        data[:header_size], data[header_size:total], data[total:], hosts, tos=data[1], ttl=data[8]
    )


def read_ip6(data: bytes) -> Packet:
    if len(data) < 40 or data[0] >> 4 != 6:
        raise Stop("malformed")
    if data[6] in EXTENSIONS:
        raise _wrapped_ip6(data)
    if data[6] != UDP:
        raise Stop("not_udp")
    hosts = data[8:24], data[24:40]
    length = int.from_bytes(data[4:6], "big")
    if any(host.startswith(MAPPED) for host in hosts) or 40 + length > len(data):
        raise Stop("malformed")
    tos = (data[0] & 15) << 4 | data[1] >> 4
    return _read_udp(
        data[:40], data[40 : 40 + length], data[40 + length :], hosts, tos=tos, ttl=data[7]
    )


def _wrapped_ip6(data: bytes) -> Wrapped:
    """What to make of a packet with extension headers (RFC 8200, section 4)."""
    kind, rest = data[6], data[40:]
    reason = "fragment" if kind == FRAGMENT_HEADER else "extension_headers"
    for _ in range(MAX_EXTENSIONS):
        if kind not in EXTENSIONS:
            break
        if len(rest) < 8 or (kind == FRAGMENT_HEADER and int.from_bytes(rest[2:4], "big") >> 3):
            return Wrapped(reason)
        unit = {FRAGMENT_HEADER: 0, AUTHENTICATION: 4}.get(kind, 8)
        size = 8 + rest[1] * unit
        if len(rest) < size:
            return Wrapped(reason)
        kind, rest = rest[0], rest[size:]
    if kind == UDP:
        return Wrapped(reason, _destination(data[24:40], rest))
    return Wrapped(reason, unreadable=kind in EXTENSIONS)


def _destination(to: bytes, datagram: bytes) -> Address | None:
    """Where a datagram goes, if its header is there."""
    return Address(to, int.from_bytes(datagram[2:4], "big")) if len(datagram) >= 8 else None


def _read_udp(
    ip_header: bytes, body: bytes, padding: bytes, hosts: tuple[bytes, bytes], *, tos: int, ttl: int
) -> Packet:
    length = int.from_bytes(body[4:6], "big")
    if length == 0 and len(hosts[0]) == 16:
        length = len(body)  # as in a jumbogram
    if len(body) < 8 or not 8 <= length <= len(body):
        raise Stop("malformed")
    source, destination = (
        Address(host, int.from_bytes(port, "big"))
        for host, port in zip(hosts, (body[:2], body[2:4]), strict=True)
    )
    return Packet(
        source, destination, tos, ttl, ip_header, body[:length], body[length:] + padding, len(body)
    )
