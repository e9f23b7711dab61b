"""What a datagram is, in words, by its first bytes (RFC 7983, section 7; RFC 5761, section 4)."""

from relay.wire.demux import Kind, classify, is_control
from relay.wire.stun import HEADER_SIZE, MAGIC_COOKIE, MessageClass

_CLASSES = {
    MessageClass.REQUEST: "STUN request",
    MessageClass.INDICATION: "STUN indication",
    MessageClass.SUCCESS: "STUN success",
    MessageClass.ERROR: "STUN error",
}
_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_RTCP = range(192, 224)  # its packet types; RTP's second byte never has these (RFC 5761)


def kind_of(payload: bytes) -> str:
    """The kind of a datagram of which the beginning is given.

    ``control`` is what relays and transceivers say to each other, such as an announcement.
    """
    if not payload:
        return "empty"
    match classify(payload):
        case Kind.STUN:
            return _stun_kind(payload)
        case Kind.DTLS:
            return "DTLS"
        case Kind.RTP:
            return "RTCP" if len(payload) > 1 and payload[1] in _RTCP else "RTP"
    return "control" if is_control(payload) else "other"


def _stun_kind(payload: bytes) -> str:
    """By the two bits of the class in a message's type (RFC 8489, section 5)."""
    if len(payload) < HEADER_SIZE or payload[4:8] != _COOKIE:
        return "STUN, broken"
    return _CLASSES[MessageClass((payload[0] & 1) << 1 | payload[1] >> 4 & 1)]
