"""Counts of RTP streams by sequence number (RFC 3550), free of IO.

Packets are counted after SRTP has authenticated them, so nobody else can bend the numbers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_HEADER_SIZE = 12
_MODULUS = 1 << 16
_WINDOW = 1024  # sequence numbers remembered for telling late packets from duplicates
MAX_STREAMS = 32  # of one transport; a peer that names more is not counted further
_SENDER_REPORT, _RECEIVER_REPORT = 200, 201


class ReceptionReport(NamedTuple):
    """A report block (RFC 3550, section 6.4.1): how the other end received a stream.

    Attributes:
        ssrc: The stream.
        fraction_lost: Of the packets since the report before, 0.0 to 1.0.
        lost: Packets lost since the start, can be negative when there were duplicates.
        jitter: In units of the stream's clock.
    """

    ssrc: int
    fraction_lost: float
    lost: int
    jitter: int


@dataclass(slots=True)
class StreamCounter:
    """Counts one received stream.

    Attributes:
        received: Packets received, without duplicates.
        duplicates: Packets received a second time.
    """

    received: int = 0
    duplicates: int = 0
    _first: int = 0
    _highest: int = -1
    _recent: set[int] = field(default_factory=set)

    def add(self, sequence: int) -> None:
        """Count a packet by its 16-bit sequence number."""
        if self._highest < 0:
            self._first = self._highest = sequence
        # The distance, taken as signed: forward by up to 2**15 or back.
        step = (sequence - self._highest + _MODULUS // 2) % _MODULUS - _MODULUS // 2
        extended = self._highest + step
        if extended in self._recent:
            self.duplicates += 1
            return
        self.received += 1
        self._recent.add(extended)
        self._first = min(self._first, extended)
        self._highest = max(self._highest, extended)
        if len(self._recent) > 2 * _WINDOW:
            floor = self._highest - _WINDOW
            self._recent = {number for number in self._recent if number > floor}

    @property
    def lost(self) -> int:
        """Packets between the lowest and highest sequence number that never came."""
        return self._highest - self._first + 1 - self.received if self.received else 0


class RtpCounters:
    """Counts what a transport receives and sends.

    Attributes:
        sent: RTP packets sent.
    """

    def __init__(self) -> None:
        self.sent = 0
        self._streams: dict[int, StreamCounter] = {}
        self._sent_ssrcs: set[int] = set()
        self._reports: dict[int, ReceptionReport] = {}

    def received_rtp(self, packet: bytes) -> None:
        """Count an authenticated RTP packet."""
        if len(packet) < _HEADER_SIZE:
            return
        sequence, _, ssrc = struct.unpack_from("!HII", packet, 2)
        stream = self._streams.get(ssrc)
        if stream is None:
            if len(self._streams) == MAX_STREAMS:
                return
            stream = self._streams[ssrc] = StreamCounter()
        stream.add(sequence)

    def received_rtcp(self, packet: bytes) -> None:
        """Keep the newest report of each stream we send, from an authenticated RTCP packet."""
        for report in reports(packet):
            if report.ssrc in self._sent_ssrcs:
                self._reports[report.ssrc] = report

    def sent_rtp(self, packet: bytes) -> None:
        """Count an RTP packet that we send."""
        self.sent += 1
        self._sent_ssrcs.add(int.from_bytes(packet[8:_HEADER_SIZE], "big"))

    @property
    def received(self) -> int:
        """RTP packets received, of all streams."""
        return sum(stream.received for stream in self._streams.values())

    @property
    def lost(self) -> int:
        """RTP packets missing by sequence numbers, of all streams."""
        return sum(stream.lost for stream in self._streams.values())

    @property
    def reported_lost(self) -> int | None:
        """What the other end says it has lost of what we sent; None before its first report."""
        if not self._reports:
            return None
        return sum(report.lost for report in self._reports.values())


def reports(packet: bytes) -> Iterator[ReceptionReport]:
    """The report blocks of a compound RTCP packet, as far as it is well formed."""
    offset = 0
    while offset + 8 <= len(packet):
        first, kind, words = struct.unpack_from("!BBH", packet, offset)
        end = offset + 4 * (words + 1)
        blocks = {_SENDER_REPORT: offset + 28, _RECEIVER_REPORT: offset + 8}.get(kind, end)
        for index in range(first & 0x1F):
            start = blocks + 24 * index
            if start + 24 > min(end, len(packet)):
                break
            ssrc, loss, _, jitter = struct.unpack_from("!IIII", packet, start)
            lost = (loss & 0xFFFFFF) - (1 << 24 if loss & 0x800000 else 0)
            yield ReceptionReport(ssrc, (loss >> 24) / 256, lost, jitter)
        offset = end
