"""RTP payloads with redundancy (RFC 2198): a frame, and those before it once more; free of IO.

```
|F|   block PT  |      timestamp offset     |    block length   |   F=1, for each earlier frame
|F|   block PT  |                                                  F=0, for the frame itself
| the earlier frames, oldest first, then the frame                 |
```

Clients that do this carry the frames just before, each under the number of its own packet: so the
last earlier frame was in the packet before (libwebrtc, with Opus).
"""

from typing import NamedTuple

from transceiver.media.errors import RtpError

MAX_EARLIER = 4  # frames that are looked at: more bring no more than delay
_FOLLOWS = 0x80
_HEADER = 4  # bytes
_LENGTH_BITS = 10


class Block(NamedTuple):
    """A frame in such a payload.

    Attributes:
        payload_type: Of its codec.
        offset: How much earlier it was said than the packet's own, in ticks.
        payload: What the codec made.
    """

    payload_type: int
    offset: int
    payload: bytes


def split(payload: bytes) -> list[Block]:
    """The frames of a payload, the packet's own one last; at most `MAX_EARLIER` before it.

    Raises:
        RtpError: It is cut short, or says more than it has.
    """
    headers: list[tuple[int, int, int]] = []  # type, offset, length
    at = 0
    while at < len(payload) and payload[at] & _FOLLOWS:
        if at + _HEADER > len(payload):
            raise RtpError("a header of redundant audio is cut short")
        word = int.from_bytes(payload[at + 1 : at + _HEADER], "big")
        offset, length = word >> _LENGTH_BITS, word & (1 << _LENGTH_BITS) - 1
        headers.append((payload[at] & ~_FOLLOWS, offset, length))
        at += _HEADER
    if at >= len(payload):
        raise RtpError("redundant audio without a frame of its own")
    own = payload[at]
    at += 1
    blocks: list[Block] = []
    for payload_type, offset, length in headers:
        if at + length > len(payload):
            raise RtpError("a frame of redundant audio runs over the end of its packet")
        blocks.append(Block(payload_type, offset, payload[at : at + length]))
        at += length
    return [*blocks[-MAX_EARLIER:], Block(own, 0, payload[at:])]
