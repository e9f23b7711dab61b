"""RTCP packets: reading (RFC 3550, 3611, 4585, 5506 and two drafts), free of IO.

A datagram holds several packets, one behind the other:

```
|V=2|P|  count  |  packet type  |       length in words - 1     |
|                   SSRC of the sender                          |
|                              ...                              |
```

Each is read by itself: one that is unknown is passed over, one that is broken costs itself, and one
whose length runs over the end ends the reading. What is written is in `rtcpwrite`.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from transceiver.media import transportcc
from transceiver.media.errors import RtcpError

SENDER_REPORT, RECEIVER_REPORT, DESCRIPTION, GOODBYE = 200, 201, 202, 203
TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK, EXTENDED_REPORT = 205, 206, 207
NACK, TRANSPORT_CC = 1, 15  # of TRANSPORT_FEEDBACK
APPLICATION = 15  # of PAYLOAD_FEEDBACK
CNAME = 1  # of DESCRIPTION
REFERENCE_TIME, LAST_REPORTS = 4, 5  # blocks of EXTENDED_REPORT
REMB = b"REMB"
BLOCK_SIZE = 24  # bytes of a report block
MAX_NACKS = 64  # sequence numbers taken from one packet; a client has no use for more
MAX_PACKETS = 10  # read of one datagram, so that none costs more than it should
MAX_LIST = 31  # SSRCs, chunks or blocks taken from one packet: what a count of 5 bits can say

block = struct.Struct("!IIIIII")
_head = struct.Struct("!BBH")
_sender = struct.Struct("!QIII")
_pair = struct.Struct("!HH")


class ReportBlock(NamedTuple):
    """How a stream was received (RFC 3550, section 6.4.1).

    Attributes:
        ssrc: The stream.
        fraction_lost: Of the packets since the report before, 0.0 to 1.0.
        lost: Packets lost since the start; negative when duplicates outweigh them.
        highest: Highest sequence number, extended by its cycles to 32 bits.
        jitter: In units of the stream's clock.
        last_report: Middle 32 bits of the NTP time in the last sender report, 0 without one.
        delay: Since that report came, in 1/65536 seconds.
    """

    ssrc: int
    fraction_lost: float
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


class SenderReport(NamedTuple):
    """What a sender has sent (RFC 3550, section 6.4.1), and how it receives.

    Attributes:
        ssrc: Of the sender.
        ntp: The sender's time, in 1/2**32 seconds; since 1900, or since anything.
        timestamp: The same moment in RTP timestamps of the stream.
        packets: Sent since the start.
        octets: Of payload, sent since the start.
        blocks: How it receives.
    """

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...]


class ReceiverReport(NamedTuple):
    """How somebody receives who does not send (RFC 3550, section 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...]


class Description(NamedTuple):
    """Canonical names by SSRC (RFC 3550, section 6.5); other items are passed over."""

    cnames: dict[int, bytes]


class Goodbye(NamedTuple):
    """Streams that have ended (RFC 3550, section 6.6)."""

    ssrcs: tuple[int, ...]


class Nack(NamedTuple):
    """Sequence numbers of a stream that are asked for again (RFC 4585, section 6.2.1)."""

    ssrc: int
    media: int
    lost: tuple[int, ...]


class Remb(NamedTuple):
    """The bitrate that a receiver can take (draft-alvestrand-rmcat-remb-03), in bits a second."""

    ssrc: int
    bitrate: int
    ssrcs: tuple[int, ...]


class ReferenceTime(NamedTuple):
    """A receiver's time, for the round trip (RFC 3611, section 4.4); `ntp` as in `SenderReport`."""

    ssrc: int
    ntp: int


class LastReport(NamedTuple):
    """An answer to a `ReferenceTime` (RFC 3611, section 4.5); fields as in `ReportBlock`."""

    ssrc: int
    last_report: int
    delay: int


class LastReports(NamedTuple):
    """Answers of one sender."""

    ssrc: int
    reports: tuple[LastReport, ...]


Message = (
    SenderReport
    | ReceiverReport
    | Description
    | Goodbye
    | Nack
    | Remb
    | ReferenceTime
    | LastReports
    | transportcc.Feedback
)


class Compound(NamedTuple):
    """What a datagram holds.

    Attributes:
        messages: All that was understood, in its order.
        unknown: Packets of types that are not read here.
        broken: Packets that are not what their type says, or run over the end; what stands behind
            those, or behind `MAX_PACKETS`, is not looked at.
    """

    messages: tuple[Message, ...]
    unknown: int
    broken: int


def parse(data: bytes) -> Compound:
    """Read all packets of a datagram, compound or of reduced size.

    Raises:
        RtcpError: When it does not even begin like RTCP. No other exception, whatever comes.
    """
    if len(data) < 8 or data[0] >> 6 != 2 or not 192 <= data[1] <= 223:
        raise RtcpError("an RTCP packet has version 2, a type from 192 to 223 and 8 bytes or more")
    messages: list[Message] = []
    unknown = broken = at = 0
    for _ in range(MAX_PACKETS):
        if at == len(data):
            break
        first, kind, words = _head.unpack_from(data, at) if at + 4 <= len(data) else (0, 0, 0)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or end > len(data):
            broken += 1
            break
        reader = _READERS.get(kind)
        if reader is None:
            unknown += 1
        else:
            try:
                found = reader(first & 0x1F, _unpadded(first, data[at + 4 : end]))
            except (RtcpError, struct.error):
                broken += 1
            else:
                messages += found
                unknown += not found
        at = end
    return Compound(tuple(messages), unknown, broken)


def _unpadded(first: int, body: bytes) -> bytes:
    """A packet's body without the padding that its header may announce."""
    if not first & 0x20:
        return body
    if not body or not 0 < body[-1] <= len(body):
        raise RtcpError("the padding of an RTCP packet is longer than the packet")
    return body[: -body[-1]]


def _read_blocks(count: int, body: bytes, at: int) -> tuple[ReportBlock, ...]:
    """As many of the blocks as there are; a count that overruns costs what is missing."""
    blocks = []
    for _ in range(min(count, (len(body) - at) // BLOCK_SIZE)):
        ssrc, loss, highest, jitter, last, delay = block.unpack_from(body, at)
        lost = (loss & 0xFFFFFF) - (1 << 24 if loss & 0x800000 else 0)
        blocks.append(ReportBlock(ssrc, (loss >> 24) / 256, lost, highest, jitter, last, delay))
        at += BLOCK_SIZE
    return tuple(blocks)


def _sender_report(count: int, body: bytes) -> list[Message]:
    ssrc = int.from_bytes(body[:4], "big")
    ntp, timestamp, packets, octets = _sender.unpack_from(body, 4)
    return [SenderReport(ssrc, ntp, timestamp, packets, octets, _read_blocks(count, body, 24))]


def _receiver_report(count: int, body: bytes) -> list[Message]:
    (ssrc,) = struct.unpack_from("!I", body)
    return [ReceiverReport(ssrc, _read_blocks(count, body, 4))]


def _description(count: int, body: bytes) -> list[Message]:
    cnames: dict[int, bytes] = {}
    at = 0
    for _ in range(count):
        (ssrc,) = struct.unpack_from("!I", body, at)
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise RtcpError("an item of a description runs over its end")
            if body[at] == CNAME:
                cnames[ssrc] = body[at + 2 : at + 2 + body[at + 1]]
            at += 2 + body[at + 1]
        at = (at // 4 + 1) * 4  # at least one byte of zeros, up to the next word
    return [Description(cnames)]


def _goodbye(count: int, body: bytes) -> list[Message]:
    return [Goodbye(struct.unpack_from(f"!{count}I", body))]


def _transport_feedback(form: int, body: bytes) -> list[Message]:
    ssrc, media = struct.unpack_from("!II", body)
    if form == TRANSPORT_CC:
        return [transportcc.read(ssrc, media, body[8:])]
    if form != NACK:
        return []
    lost: list[int] = []
    for at in range(8, len(body) - 3, 4):
        first, following = _pair.unpack_from(body, at)
        lost.append(first)
        lost += [first + 1 + bit & 0xFFFF for bit in range(16) if following >> bit & 1]
        if len(lost) > MAX_NACKS:
            break
    return [Nack(ssrc, media, tuple(lost[:MAX_NACKS]))]


def _payload_feedback(form: int, body: bytes) -> list[Message]:
    if form != APPLICATION or body[8:12] != REMB:
        return []
    ssrc, _, _, rate = struct.unpack_from("!IIII", body)
    count = rate >> 24
    bitrate = (rate & 0x3FFFF) << (rate >> 18 & 0x3F)
    fits = min(count, (len(body) - 16) // 4)
    return [Remb(ssrc, bitrate, struct.unpack_from(f"!{fits}I", body, 16))]


def _extended_report(_count: int, body: bytes) -> list[Message]:
    (ssrc,) = struct.unpack_from("!I", body)
    found: list[Message] = []
    at = 4
    while at + 4 <= len(body):
        kind, _, words = _head.unpack_from(body, at)
        start, at = at + 4, at + 4 * (words + 1)
        if at > len(body):
            raise RtcpError("a block of an extended report runs over its end")
        if kind == REFERENCE_TIME and words >= 2:
            found.append(ReferenceTime(ssrc, int.from_bytes(body[start : start + 8], "big")))
        elif kind == LAST_REPORTS:
            each = [
                LastReport(*struct.unpack_from("!III", body, here))
                for here in range(start, min(at, start + 12 * MAX_LIST) - 11, 12)
            ]
            found.append(LastReports(ssrc, tuple(each)))
    return found


_READERS: dict[int, Callable[[int, bytes], list[Message]]] = {
    SENDER_REPORT: _sender_report,
    RECEIVER_REPORT: _receiver_report,
    DESCRIPTION: _description,
    GOODBYE: _goodbye,
    TRANSPORT_FEEDBACK: _transport_feedback,
    PAYLOAD_FEEDBACK: _payload_feedback,
    EXTENDED_REPORT: _extended_report,
}
