"""Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), free of IO.

The sender numbers its packets in a header extension; the receiver tells when each number came:

```
|      base sequence number     |      packet status count      |
|           reference time (64 ms units)        | fb pkt. count |
|          packet chunk         |          packet chunk         |
|              ...              | receive delta |      ...      |
```

A chunk says of several packets in a row whether they came; each that came has a delta, in steps of
250 us, to the one before: of one byte, or of two with a sign.
"""

import struct
from typing import NamedTuple

from transceiver.media.errors import RtcpError

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
STEP = 0.000_25  # seconds
MAX_PACKETS = 256  # of one feedback: 5 s of a voice call; a few bytes can claim many more
_REFERENCE = 0.064  # seconds
_LOST, _SMALL, _LARGE = 0, 1, 2  # two-bit symbols
_head = struct.Struct("!HHI")


class Feedback(NamedTuple):
    """When packets came.

    Attributes:
        ssrc: Of who received them.
        media: A stream of the sender.
        base: The first packet's number, 16 bits.
        number: One that rises by one, modulo 256, with each feedback.
        arrivals: For each packet from `base` on, when it came in seconds of the receiver's clock,
            or None for one that did not. The clock starts anew every 12 days.
    """

    ssrc: int
    media: int
    base: int
    number: int
    arrivals: tuple[float | None, ...]


def read(ssrc: int, media: int, body: bytes) -> Feedback:
    """Read a feedback's own part, what stands behind the two SSRCs.

    Raises:
        RtcpError: When it is none.
        struct.error: When it ends too early.
    """
    base, packets, rest = _head.unpack_from(body)
    if packets > MAX_PACKETS:
        raise RtcpError(f"a feedback is about {packets} packets, more than {MAX_PACKETS}")
    symbols, at = _read_symbols(body, packets)
    # 24 bits with a sign.
    reference = (rest >> 8) - (1 << 24 if rest >> 31 else 0)
    moment = reference * _REFERENCE
    arrivals: list[float | None] = []
    for symbol in symbols:
        if symbol not in (_SMALL, _LARGE):
            arrivals.append(None)
            continue
        if at + symbol > len(body):
            raise RtcpError("a feedback has fewer times than packets")
        moment += STEP * int.from_bytes(body[at : at + symbol], "big", signed=symbol == _LARGE)
        at += symbol
        arrivals.append(moment)
    return Feedback(ssrc, media, base, rest & 0xFF, tuple(arrivals))


def _read_symbols(body: bytes, packets: int) -> tuple[list[int], int]:
    """A symbol for each packet, and where the chunks end."""
    symbols: list[int] = []
    at = _head.size
    while len(symbols) < packets:
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        if not chunk >> 15:  # a run of one symbol
            symbols += [chunk >> 13 & 3] * min(chunk & 0x1FFF, packets - len(symbols))
        elif chunk >> 14 & 1:  # seven symbols
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:  # fourteen symbols of one bit
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:packets], at


def write(feedback: Feedback) -> bytes:
    """The feedback's own part, in whole words: what `read` reads."""
    times = [moment for moment in feedback.arrivals if moment is not None]
    reference = int(times[0] // _REFERENCE) if times else 0
    previous = round(reference * _REFERENCE / STEP)
    symbols, deltas = [], bytearray()
    for moment in feedback.arrivals:
        if moment is None:
            symbols.append(_LOST)
            continue
        now = round(moment / STEP)
        # 8 s in either direction; beyond that the time is wrong, and that it came is right.
        delta = max(-0x8000, min(0x7FFF, now - previous))
        previous += delta
        symbol = _SMALL if 0 <= delta <= 0xFF else _LARGE
        symbols.append(symbol)
        deltas += delta.to_bytes(symbol, "big", signed=symbol == _LARGE)
    head = _head.pack(
        feedback.base, len(symbols), (reference & 0xFFFFFF) << 8 | feedback.number & 0xFF
    )
    body = head + _write_symbols(symbols) + deltas
    return body + bytes(-len(body) % 4)


def _write_symbols(symbols: list[int]) -> bytes:
    """Chunks for these symbols: runs where they are long, else seven at a time."""
    chunks = bytearray()
    at = 0
    while at < len(symbols):
        run = 1
        while at + run < len(symbols) and symbols[at + run] == symbols[at] and run < 0x1FFF:
            run += 1
        if run >= 7 or at + run == len(symbols):
            chunks += (symbols[at] << 13 | run).to_bytes(2, "big")
            at += run
            continue
        chunk = 0xC000
        for place, symbol in enumerate(symbols[at : at + 7]):
            chunk |= symbol << 12 - 2 * place
        chunks += chunk.to_bytes(2, "big")
        at += 7
    return bytes(chunks)
