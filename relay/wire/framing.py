"""Datagrams on a stream, each behind its length (RFC 4571), as ICE-TCP sends them (RFC 6544)."""

import struct
from collections.abc import Iterator

from relay.wire.errors import FramingError

_LENGTH = struct.Struct("!H")
HEADER_SIZE = _LENGTH.size
# Any datagram that a socket can receive has a place in a frame.
MAX_PAYLOAD = 0xFFFF


def frame(datagram: bytes) -> bytes:
    """A datagram with its length before it.

    Args:
        datagram: At most `MAX_PAYLOAD` bytes.
    """
    return _LENGTH.pack(len(datagram)) + datagram


class FrameReader:
    """Takes the bytes of a stream as they come, gives the datagrams that are complete.

    It keeps less than one frame. An empty one is a null packet, which says nothing (RFC 4571,
    section 2).

    Args:
        longest: The longest datagram to accept, in bytes.
        rest: What has come of a frame before.

    Attributes:
        rest: What has come of the next frame.
    """

    def __init__(self, longest: int, rest: bytes = b"") -> None:
        self._longest = longest
        self.rest = rest

    @property
    def is_midway(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self.rest)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the stream, and give what is complete, which must all be taken.

        Raises:
            FramingError: After the datagrams before it: a frame is too long. Nothing that follows
                can be read.
        """
        stream, start = self.rest + data, 0
        while len(stream) - start >= HEADER_SIZE:
            (length,) = _LENGTH.unpack_from(stream, start)
            if length > self._longest:
                raise FramingError(f"a frame of {length} bytes, and not {self._longest} or less")
            end = start + HEADER_SIZE + length
            if end > len(stream):
                break
            if length:
                yield stream[start + HEADER_SIZE : end]
            start = end
        self.rest = stream[start:]
