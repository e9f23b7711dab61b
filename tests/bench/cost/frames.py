"""Frames as clients send them."""

from relay.wire.endpoint import Endpoint
from relay.wire.route import Route
from relay.wire.stun import BINDING, Attribute, Message, MessageClass

RTP = bytes([0x80, 111]) + bytes(170)  # 20 ms of speech
PUBLIC_MAC = bytes.fromhex("020000000101")  # of the interface that frames come in through
_MACS = PUBLIC_MAC + bytes(6)
_UDP, _TTL = 17, 64


def from_client(source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """A frame with a UDP packet of either family."""
    udp = source.packed[16:] + destination.packed[16:] + (8 + len(payload)).to_bytes(2, "big")
    udp += b"\x12\x34" + payload  # nobody checks the checksum, and none would be a special case
    if ":" in source.host:
        head = b"\x60\0\0\0" + len(udp).to_bytes(2, "big") + bytes([_UDP, _TTL])
        return _MACS + b"\x86\xdd" + head + source.packed[:16] + destination.packed[:16] + udp
    head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + bytes(4) + bytes([_TTL, _UDP, 0, 0])
    head += source.packed[12:16] + destination.packed[12:16]
    return _MACS + b"\x08\0" + head + udp


def forged_request(route: Route) -> bytes:
    """A Binding request with a route whose tag is wrong."""
    last = "B" if route.ufrag.endswith("A") else "A"
    attributes = (
        (Attribute.USERNAME, f"{route.ufrag[:-1]}{last}:abcd".encode()),
        (Attribute.PRIORITY, bytes(4)),
    )
    return Message(MessageClass.REQUEST, BINDING, bytes(12), attributes).serialize(b"password")
