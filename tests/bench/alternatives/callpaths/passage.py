"""When each packet of audio left one host and came to the other. Pure.

A packet is known by its stream and timestamp, which a relay leaves alone. An SFU numbers anew, and
adds the same to all timestamps of a stream: how much, and under which name the stream goes on, is
found by the packets' sizes, which stay the same and vary with what is said.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

_LONGEST = 0.015  # seconds that a packet may take where its stream's other name is looked for
_CYCLE = 1 << 32  # timestamps wrap here (RFC 3550, section 5.1)
_NEARLY = 0.9  # part of the most votes that counts as as many


class Packet(NamedTuple):
    """A packet of audio.

    Attributes:
        time: When it passed, in seconds.
        stream: Its SSRC.
        timestamp: Its RTP timestamp.
        size: Bytes of RTP, with the header.
    """

    time: float
    stream: int
    timestamp: int
    size: int


class Alias(NamedTuple):
    """What a stream is at the other end: its SSRC there, and what is added to timestamps."""

    stream: int
    added: int


@dataclass(slots=True)
class Way:
    """One direction: what left one host, and what came to the other, in order."""

    sent: list[Packet] = field(default_factory=list)
    received: list[Packet] = field(default_factory=list)

    def delays(self) -> list[float]:
        """Seconds from one host to the other, of the packets that were seen at both."""
        arrived = {(each.stream, each.timestamp): each.time for each in self.received}
        found = []
        streams: defaultdict[int, list[Packet]] = defaultdict(list)
        for each in self.sent:
            streams[each.stream].append(each)
        for stream, packets in streams.items():
            alias = _alias(stream, packets, self.received)
            if alias is None:
                continue
            for each in packets:
                name = (alias.stream, (each.timestamp + alias.added) % _CYCLE)
                if name in arrived:
                    found.append(arrived[name] - each.time)
        return found


def _alias(stream: int, packets: Sequence[Packet], received: Sequence[Packet]) -> Alias | None:
    """What a stream is at the other end; None if it does not come there."""
    if any(each.stream == stream for each in received):
        return Alias(stream, 0)
    delays: defaultdict[Alias, list[float]] = defaultdict(list)
    for each in packets:
        for other in _soon(received, each.time):
            if other.size == each.size:
                added = (other.timestamp - each.timestamp) % _CYCLE
                delays[Alias(other.stream, added)].append(other.time - each.time)
    most = max(map(len, delays.values()), default=0)
    likely = [alias for alias, times in delays.items() if len(times) >= _NEARLY * most]
    # Calls that say the same at the same time are told apart by who comes first.
    return min(likely, key=lambda alias: median(delays[alias]), default=None)


def _soon(received: Sequence[Packet], begin: float) -> Iterator[Packet]:
    """What came within the longest time from a moment on."""
    for at in range(bisect_left(received, begin, key=lambda each: each.time), len(received)):
        if received[at].time > begin + _LONGEST:
            return
        yield received[at]
