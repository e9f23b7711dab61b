"""What the parsers in Python make of a datagram, for `parsers.c`: asked and told through pipes.

A question is a datagram behind its length, 4 bytes of the host's order. The answer begins with one
byte, a `Verdict`. Behind ROUTE come the 21 bytes of the route, and whether its tag is of `KEY`.
"""

import hmac
import struct
import sys
from enum import IntEnum

from relay.wire.demux import Kind, classify
from relay.wire.errors import RouteFormatError, StunError
from relay.wire.route import read_ufrag
from relay.wire.siphash import TAG_SIZE, tag
from relay.wire.stun import BINDING, MessageClass, header, server_ufrag

KEY = bytes(range(16))
_LENGTH = struct.Struct("=I")


class Verdict(IntEnum):
    """As in `parsers.c`."""

    OTHER = 0
    MEDIA = 1
    MALFORMED = 2
    NO_REQUEST = 3
    NO_ROUTE = 4
    ROUTE = 5


def judge(data: bytes) -> bytes:
    """The answer to a question."""
    kind = classify(data)
    if kind is not Kind.STUN:
        return bytes([Verdict.OTHER if kind is Kind.OTHER else Verdict.MEDIA])
    try:
        head = header(data)
    except StunError:
        return bytes([Verdict.MALFORMED])
    if (head.message_class, head.method) != (MessageClass.REQUEST, BINDING):
        return bytes([Verdict.NO_REQUEST])
    try:
        raw = read_ufrag(server_ufrag(data)).raw
    except (StunError, RouteFormatError):
        return bytes([Verdict.NO_ROUTE])
    genuine = hmac.compare_digest(tag(KEY, raw[:-TAG_SIZE]), raw[-TAG_SIZE:])
    return bytes([Verdict.ROUTE]) + raw + bytes([genuine])


def main() -> None:
    """Answer until nobody asks any more."""
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    while length := asked.read(_LENGTH.size):
        told.write(judge(asked.read(*_LENGTH.unpack(length))))
        told.flush()


if __name__ == "__main__":
    main()
