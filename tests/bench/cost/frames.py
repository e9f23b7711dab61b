"""Frames as clients and the transceiver send them."""

from relay.wire.endpoint import Endpoint
from relay.wire.route import Route
from relay.wire.stun import BINDING, Attribute, Message, MessageClass

RTP = bytes([0x80, 111]) + bytes(170)  # 20 ms of speech

# Of the relay's two interfaces, and of its neighbours there.
PUBLIC_MAC, INTERNAL_MAC = bytes.fromhex("020000000101"), bytes.fromhex("020000000102")
CLIENT_MAC, TRANSCEIVER_MAC = bytes.fromhex("020000000201"), bytes.fromhex("020000000202")

_ETHERNET, _IPV4, _IPV6 = 14, 20, 40  # bytes of headers
_UDP, _TTL = 17, 64


def frame(macs: bytes, source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """A frame with a UDP packet of either family; `macs` are destination and source."""
    udp = source.packed[16:] + destination.packed[16:] + (8 + len(payload)).to_bytes(2, "big")
    udp += b"\x12\x34" + payload  # nobody checks the checksum, and none would be a special case
    if ":" in source.host:
        head = b"\x60\0\0\0" + len(udp).to_bytes(2, "big") + bytes([_UDP, _TTL])
        return macs + b"\x86\xdd" + head + source.packed[:16] + destination.packed[:16] + udp
    head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + bytes(4) + bytes([_TTL, _UDP, 0, 0])
    head += source.packed[12:16] + destination.packed[12:16]
    return macs + b"\x08\0" + head + udp


def from_client(source: Endpoint, destination: Endpoint, payload: bytes = RTP) -> bytes:
    """A frame that comes in on the public side."""
    return frame(PUBLIC_MAC + CLIENT_MAC, source, destination, payload)


def from_transceiver(source: Endpoint, destination: Endpoint, payload: bytes = RTP) -> bytes:
    """A frame that comes in on the internal side."""
    return frame(INTERNAL_MAC + TRANSCEIVER_MAC, source, destination, payload)


def forged_request(route: Route) -> bytes:
    """A Binding request with a route whose tag is wrong."""
    last = "B" if route.ufrag.endswith("A") else "A"
    attributes = (
        (Attribute.USERNAME, f"{route.ufrag[:-1]}{last}:abcd".encode()),
        (Attribute.PRIORITY, bytes(4)),
    )
    return Message(MessageClass.REQUEST, BINDING, bytes(12), attributes).serialize(b"password")


def source_port(sent: bytes) -> int:
    """Where a frame has its source port."""
    return _ETHERNET + (_IPV6 if _is_ipv6(sent) else _IPV4)


def destination_port(sent: bytes) -> int:
    """Where a frame has its destination port."""
    return source_port(sent) + 2


def last_word_of_destination(sent: bytes) -> int:
    """Where a frame has the last four bytes of its destination address, which end its IP header."""
    return source_port(sent) - 4


def last_word_of_source(sent: bytes) -> int:
    """Where a frame has the last four bytes of its source address, before the destination's."""
    return last_word_of_destination(sent) - (16 if _is_ipv6(sent) else 4)


def header_checksum(sent: bytes) -> int:
    """Where a frame has the checksum of its IPv4 header; 0 with IPv6, which has none."""
    return 0 if _is_ipv6(sent) else _ETHERNET + 10


def _is_ipv6(sent: bytes) -> bool:
    return sent[12:14] == b"\x86\xdd"
