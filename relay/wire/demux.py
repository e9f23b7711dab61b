"""Tell protocols that share a UDP socket apart by the first byte (RFC 7983, section 7)."""

from enum import Enum, auto


class Kind(Enum):
    """What a datagram carries."""

    STUN = auto()
    DTLS = auto()
    RTP = auto()  # and RTCP, which shares the range (RFC 5761)
    OTHER = auto()


def _kind_of(first: int) -> Kind:
    if first <= 3:
        return Kind.STUN
    if 20 <= first <= 63:
        return Kind.DTLS
    if 128 <= first <= 191:
        return Kind.RTP
    return Kind.OTHER


_KINDS = tuple(_kind_of(first) for first in range(256))

# The first bytes of DTLS and RTP, which are nearly all.
MEDIA = bytes(first for first in range(256) if _KINDS[first] in (Kind.DTLS, Kind.RTP))
# Those of no range in RFC 7983, not even ZRTP's or TURN's: only relays and transceivers speak so,
# among themselves.
CONTROL = bytes([*range(4, 16), *range(80, 128), *range(192, 256)])


def classify(data: bytes | bytearray | memoryview) -> Kind:
    """The protocol of a datagram; an empty one is `Kind.OTHER`."""
    return _KINDS[data[0]] if data else Kind.OTHER


def is_control(data: bytes | bytearray | memoryview) -> bool:
    """Whether no protocol that RFC 7983 knows begins so: for a relay or a transceiver alone."""
    return bool(data) and data[0] in CONTROL
