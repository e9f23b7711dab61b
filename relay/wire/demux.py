"""Tell protocols that share a UDP socket apart by the first byte (RFC 7983, section 7)."""

from enum import Enum, auto

LAST_OF_STUN = 3  # the last first byte of STUN


class Kind(Enum):
    """What a datagram carries."""

    STUN = auto()
    DTLS = auto()
    RTP = auto()  # and RTCP, which shares the range (RFC 5761)
    OTHER = auto()


def _kind_of(first: int) -> Kind:
    if first <= LAST_OF_STUN:
        return Kind.STUN
    if 20 <= first <= 63:
        return Kind.DTLS
    if 128 <= first <= 191:
        return Kind.RTP
    return Kind.OTHER


_KINDS = tuple(_kind_of(first) for first in range(256))


def classify(data: bytes | bytearray | memoryview) -> Kind:
    """The protocol of a datagram; an empty one is `Kind.OTHER`."""
    return _KINDS[data[0]] if data else Kind.OTHER
