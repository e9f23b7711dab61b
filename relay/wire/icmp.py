"""ICMP errors about relayed packets: read at one side of a flow, written anew for the other.

An error quotes the packet that it is about, as the relay sent it. The flow's other side sent that
packet with other addresses, perhaps in the other IP version, and must be told in those terms
(RFC 5508, section 4.2; between versions RFC 7915, sections 4.2 to 4.5 and 5.2 to 5.5).

Only what a sender can use is translated: "unreachable" and "too big".
"""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from relay.wire.checksum import internet_checksum, update_checksum
from relay.wire.endpoint import Endpoint
from relay.wire.errors import IcmpError

V4_UNREACHABLE, V6_UNREACHABLE, V6_TOO_BIG = 3, 1, 2
V6_PARAMETER_PROBLEM = 4
V4_FRAGMENTATION_NEEDED = 4  # a code of "unreachable"

# As much of the packet is quoted as fits these sizes (RFC 1812, section 4.3.2.3; RFC 4443,
# section 3.1), less the headers before it.
_V4_QUOTE = 576 - 20 - 8
_V6_QUOTE = 1280 - 40 - 8

_HEADER_GROWTH = 20  # an IPv6 header is longer than one of IPv4
_V6_LEAST_MTU = 1280
_V4_LEAST_MTU = 68
# RFC 1191, section 7: what a router probably means that does not say its MTU.
_PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)

_ICMP = struct.Struct("!BBHI")  # type, code, checksum, the rest of the header
_IP4 = struct.Struct("!BBHHHBBH4s4s")
_IP6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_V4_MAPPED = bytes(10) + b"\xff\xff"

# Codes of "unreachable" in the other version's type and code. Those that are missing say nothing
# there, and are not translated.
_PROTOCOL_UNREACHABLE = 2
_V4_TO_V6: Mapping[int, tuple[int, int]] = (
    dict.fromkeys((0, 1, 5, 6, 7, 8, 11, 12), (V6_UNREACHABLE, 0))
    | dict.fromkeys((9, 10, 13, 15), (V6_UNREACHABLE, 1))
    | {
        _PROTOCOL_UNREACHABLE: (V6_PARAMETER_PROBLEM, 1),
        3: (V6_UNREACHABLE, 4),
        V4_FRAGMENTATION_NEEDED: (V6_TOO_BIG, 0),
    }
)
_V6_TO_V4 = {0: 1, 1: 10, 2: 1, 3: 1, 4: 3}
_NEXT_HEADER = 6  # where an IPv6 header says what follows: the pointer of a parameter problem


@dataclass(frozen=True, slots=True)
class Quote:
    """What an error says of the UDP packet that it is about.

    Attributes:
        source: Where the packet came from.
        destination: Where it went.
        payload: The beginning of what UDP carried.
        udp_length: The UDP header's length field.
        udp_checksum: The UDP checksum; 0 for none.
        ip_payload: Bytes of IP payload: the UDP packet's, as IP says.
        tos: DSCP and ECN.
        ttl: TTL or hop limit.
        identification: Of an IPv4 packet; 0 for IPv6.
        dont_fragment: Whether the packet must not be fragmented, as is always so in IPv6.
    """

    source: Endpoint
    destination: Endpoint
    payload: bytes
    udp_length: int
    udp_checksum: int
    ip_payload: int
    tos: int
    ttl: int
    identification: int = 0
    dont_fragment: bool = True

    @property
    def ip_size(self) -> int:
        """The size of the quoted packet, IP header without options included."""
        header = _IP6.size if self.source.family == socket.AF_INET6 else _IP4.size
        return header + self.ip_payload


@dataclass(frozen=True, slots=True)
class Report:
    """An ICMP error.

    Attributes:
        type: Its type; of ICMP or ICMPv6, as the addresses of the quote are.
        code: Its code.
        mtu: What "too big" says would fit, in bytes; 0 where it does not say, or is about
            something else.
        quote: The packet that it is about.
    """

    type: int
    code: int
    mtu: int
    quote: Quote


def parse_icmp4(message: bytes) -> Report:
    """Read an ICMP message, from its type on.

    Raises:
        IcmpError: It is malformed, its checksum is wrong, or it is no such error.
    """
    kind, code, rest = _header(message)
    if kind != V4_UNREACHABLE:
        raise IcmpError(f"ICMP type {kind} is not translated")
    if internet_checksum(message) != 0:
        raise IcmpError("the ICMP checksum is wrong")
    quoted = _unextended(message, words=rest >> 16 & 0xFF, size=4)
    mtu = rest & 0xFFFF if code == V4_FRAGMENTATION_NEEDED else 0
    return Report(kind, code, mtu, _quoted_v4(quoted))


def parse_icmp6(message: bytes) -> Report:
    """Read an ICMPv6 message, from its type on, whose checksum the kernel has verified.

    Raises:
        IcmpError: It is malformed, or no such error.
    """
    kind, code, rest = _header(message)
    if kind == V6_TOO_BIG:
        return Report(kind, 0, rest, _quoted_v6(message[_ICMP.size :]))
    if kind != V6_UNREACHABLE:
        raise IcmpError(f"ICMPv6 type {kind} is not translated")
    return Report(kind, code, 0, _quoted_v6(_unextended(message, words=rest >> 24, size=8)))


def translate(report: Report, source: Endpoint, destination: Endpoint) -> bytes:
    """The same error for the host that sent the packet to the relay.

    Args:
        report: The error.
        source: Where the packet came from: the host that is to be told.
        destination: The relay's address that it was sent to, of the same family.

    Returns:
        The message from its type on. The checksum of ICMPv6 is 0: it covers the addresses, and the
        kernel fills it in.

    Raises:
        IcmpError: It means nothing in the other IP version.
    """
    to_v6 = source.family == socket.AF_INET6
    kind, code, rest = _meaning(report, to_v6=to_v6)
    quoted = _quote(report.quote, source, destination)
    if to_v6:
        return _ICMP.pack(kind, code, 0, rest) + quoted[:_V6_QUOTE]
    message = _ICMP.pack(kind, code, 0, rest) + quoted[:_V4_QUOTE]
    return _ICMP.pack(kind, code, internet_checksum(message), rest) + quoted[:_V4_QUOTE]


def _header(message: bytes) -> tuple[int, int, int]:
    if len(message) < _ICMP.size:
        raise IcmpError("it ends within its header")
    kind, code, _, rest = _ICMP.unpack_from(message)
    return kind, code, rest


def _unextended(message: bytes, *, words: int, size: int) -> bytes:
    """The quoted packet without extensions behind it, of which its length tells (RFC 4884)."""
    quoted = message[_ICMP.size :]
    return quoted[: words * size] if words else quoted


def _quoted_v4(quoted: bytes) -> Quote:
    if len(quoted) < _IP4.size:
        raise IcmpError("the quoted packet ends within its IP header")
    first, tos, total, identification, fragment, ttl, protocol, _, source, destination = (
        _IP4.unpack_from(quoted)
    )
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < _IP4.size or total < header + _UDP.size:
        raise IcmpError("the quoted packet is malformed")
    if protocol != socket.IPPROTO_UDP or fragment & 0x1FFF:
        raise IcmpError("the quoted packet has no UDP header")
    return _with_udp(
        quoted[header:total],
        (_V4_MAPPED + source, _V4_MAPPED + destination),
        ip_payload=total - header,
        tos=tos,
        ttl=ttl,
        identification=identification,
        dont_fragment=bool(fragment & 0x4000),
    )


def _quoted_v6(quoted: bytes) -> Quote:
    if len(quoted) < _IP6.size:
        raise IcmpError("the quoted packet ends within its IP header")
    first, length, protocol, ttl, source, destination = _IP6.unpack_from(quoted)
    mapped = source.startswith(_V4_MAPPED) or destination.startswith(_V4_MAPPED)
    if first >> 28 != 6 or length < _UDP.size or mapped:
        raise IcmpError("the quoted packet is malformed")
    if protocol != socket.IPPROTO_UDP:
        raise IcmpError("the quoted packet has no UDP header")
    return _with_udp(
        quoted[_IP6.size : _IP6.size + length],
        (source, destination),
        ip_payload=length,
        tos=first >> 20 & 0xFF,
        ttl=ttl,
    )


def _with_udp(
    packet: bytes,
    addresses: tuple[bytes, bytes],
    *,
    ip_payload: int,
    tos: int,
    ttl: int,
    identification: int = 0,
    dont_fragment: bool = True,
) -> Quote:
    if len(packet) < _UDP.size:
        raise IcmpError("the quoted packet ends within its UDP header")
    _, _, udp_length, udp_checksum = _UDP.unpack_from(packet)
    return Quote(
        source=Endpoint.unpack(addresses[0] + packet[0:2]),
        destination=Endpoint.unpack(addresses[1] + packet[2:4]),
        payload=packet[_UDP.size :],
        udp_length=udp_length,
        udp_checksum=udp_checksum,
        ip_payload=ip_payload,
        tos=tos,
        ttl=ttl,
        identification=identification,
        dont_fragment=dont_fragment,
    )


def _meaning(report: Report, *, to_v6: bool) -> tuple[int, int, int]:
    """Type, code and the rest of the header for the host that is to be told."""
    from_v6 = report.quote.source.family == socket.AF_INET6
    if from_v6 == to_v6:
        return report.type, report.code, report.mtu
    if to_v6:
        if report.code not in _V4_TO_V6:
            raise IcmpError(f"code {report.code} means nothing in IPv6")
        kind, code = _V4_TO_V6[report.code]
        if kind == V6_TOO_BIG:
            return kind, code, max(_V6_LEAST_MTU, _mtu4(report) + _HEADER_GROWTH)
        return kind, code, _NEXT_HEADER if kind == V6_PARAMETER_PROBLEM else 0
    if report.type == V6_TOO_BIG:
        mtu = min(max(report.mtu - _HEADER_GROWTH, _V4_LEAST_MTU), 0xFFFF)
        return V4_UNREACHABLE, V4_FRAGMENTATION_NEEDED, mtu
    if report.code not in _V6_TO_V4:
        raise IcmpError(f"code {report.code} means nothing in IPv4")
    return V4_UNREACHABLE, _V6_TO_V4[report.code], 0


def _mtu4(report: Report) -> int:
    """What fits, also where the router is too old to say."""
    if report.mtu:
        return report.mtu
    return next((size for size in _PLATEAUS if size < report.quote.ip_size), _V4_LEAST_MTU)


def _quote(quote: Quote, source: Endpoint, destination: Endpoint) -> bytes:
    """The quoted packet as its sender sent it, as far as that is known."""
    old, new = quote.source.packed + quote.destination.packed, source.packed + destination.packed
    checksum = quote.udp_checksum
    if checksum:
        # A computed zero is written as all ones: zero says that there is none (RFC 768).
        checksum = update_checksum(checksum, old, new) or 0xFFFF
    udp = _UDP.pack(source.port, destination.port, quote.udp_length, checksum) + quote.payload
    if source.family == socket.AF_INET6:
        head = 6 << 28 | quote.tos << 20
        addresses = source.packed[:16], destination.packed[:16]
        ip = _IP6.pack(head, quote.ip_payload, socket.IPPROTO_UDP, quote.ttl, *addresses)
        return ip + udp
    size = min(_IP4.size + quote.ip_payload, 0xFFFF)
    fragment = 0x4000 if quote.dont_fragment else 0
    fields = 0x45, quote.tos, size, quote.identification, fragment, quote.ttl, socket.IPPROTO_UDP
    addresses = source.packed[12:16], destination.packed[12:16]
    ip = _IP4.pack(*fields, 0, *addresses)
    return _IP4.pack(*fields, internet_checksum(ip), *addresses) + udp
