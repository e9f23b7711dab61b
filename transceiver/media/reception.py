"""How streams are received: what report blocks say, and exact counts (RFC 3550, A.1, A.3, A.8).

Packets are counted after SRTP has authenticated them, so nobody else can bend the numbers.
"""

from transceiver.media import ntp
from transceiver.media.rtcp import ReportBlock
from transceiver.media.rtp import WINDOW

MAX_STREAMS = 31  # of one call, as many as a report holds

_MASK = (1 << WINDOW) - 1  # remembers them, to tell late packets from duplicates
_DROPOUT = 3_000  # RFC 3550, A.1: a jump beyond is a stream that has started anew
_LONGEST_SHIFT = 5.0  # seconds: beyond, timestamps have jumped, and that is no jitter


class Stream:
    """Counts one received stream.

    Attributes:
        received: Packets received, without duplicates.
        duplicates: Packets received a second time.
        jitter: In units of the stream's clock.
        heard: When the last packet came.
    """

    __slots__ = (
        *("_again", "_arrived", "_copies", "_earlier", "_first", "_highest", "_mask", "_ntp"),
        *("_ntp_at", "_rate", "_reported", "_run", "_timestamp"),
        *("duplicates", "heard", "jitter", "received"),
    )

    def __init__(self, sequence: int, now: float) -> None:
        self.received = 0
        self.duplicates = 0
        self.jitter = 0.0
        self.heard = now
        self._earlier = 0  # lost in the runs before this one
        self._again = -1  # the number that would show a stray one to be a new start
        self._rate = 0
        self._timestamp = 0
        self._arrived = now
        self._ntp = 0
        self._ntp_at = 0.0
        self._start(sequence)

    def _start(self, sequence: int) -> None:
        """Begin a run with its first packet's number, which is still to be counted."""
        self._first = sequence
        self._highest = sequence - 1
        self._mask = 0  # bit k: whether the packet k before the highest has come
        self._run = self._copies = 0  # packets of this run, and duplicates
        self._reported = (0, 0)  # expected and received at the report before

    def add(self, sequence: int, timestamp: int, rate: int, now: float) -> bool:
        """Count a packet.

        Args:
            sequence: Its 16 bits.
            timestamp: Its 32 bits.
            rate: Ticks of the timestamp in a second.
            now: When it came.

        Returns:
            Whether it is new: no duplicate.
        """
        self.heard = now
        # The distance, taken as signed: forward by up to 2**15 or back.
        step = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        if not -WINDOW < step <= _DROPOUT:
            if sequence != self._again:  # a stray one is passed over, until the next follows it
                self._again = sequence + 1 & 0xFFFF
                return True
            self._restart(sequence)
            step = 1
        if step > 0:
            self._mask = (self._mask << step | 1) & _MASK
            self._highest += step
            self._measure(timestamp, rate, now)
        elif self._mask >> -step & 1:
            self.duplicates += 1
            self._copies += 1
            return False
        else:
            self._mask |= 1 << -step
            self._first = min(self._first, self._highest + step)
        self._run += 1
        self.received += 1
        return True

    def _restart(self, sequence: int) -> None:
        """Begin a new run with a stray packet that came before and the one that follows it."""
        self._earlier = self.lost
        self._start(sequence - 1)
        self._highest += 1
        self._mask = 1
        self._run = 1
        self.received += 1

    def _measure(self, timestamp: int, rate: int, now: float) -> None:
        """Follow the jitter (RFC 3550, A.8) by a packet that is in order."""
        ticks = ((timestamp - self._timestamp + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        # Several packets of one moment, as those of a telephone event, say nothing about delay.
        if rate == self._rate and ticks:
            shift = abs((now - self._arrived) * rate - ticks)
            if shift < _LONGEST_SHIFT * rate:
                self.jitter += (shift - self.jitter) / 16
        self._rate = rate
        self._timestamp = timestamp
        self._arrived = now

    def sender_report(self, stamp: int, now: float) -> None:
        """Keep the NTP time of the newest sender report, for the sender's round trip."""
        self._ntp, self._ntp_at = ntp.middle(stamp), now

    @property
    def jitter_seconds(self) -> float:
        """The jitter, in seconds."""
        return self.jitter / self._rate if self._rate else 0.0

    @property
    def lost(self) -> int:
        """Packets between the lowest and the highest sequence number that never came."""
        return self._earlier + self._highest - self._first + 1 - self._run

    def block(self, ssrc: int, now: float) -> ReportBlock | None:
        """What to report; None when nothing has come since the report before."""
        expected = self._highest - self._first + 1
        received = self._run + self._copies
        expected_before, received_before = self._reported
        if received == received_before:
            return None
        self._reported = expected, received
        expected_now = expected - expected_before
        lost_now = expected_now - (received - received_before)
        return ReportBlock(
            ssrc,
            # More duplicates than losses count as no loss (RFC 3550, A.3).
            max(0.0, lost_now / expected_now) if expected_now > 0 else 0.0,
            # With duplicates, as the RFC wants it: it can be negative.
            self.lost - self._copies,
            self._highest & 0xFFFF_FFFF,
            int(self.jitter),
            self._ntp,
            ntp.delay(now - self._ntp_at) if self._ntp else 0,
        )


class Reception:
    """Counts all streams of a call."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._ended = (0, 0, 0)  # received, lost and duplicates of streams no longer kept

    def add(self, ssrc: int, sequence: int, timestamp: int, rate: int, now: float) -> bool:
        """Count a packet; arguments and result as those of `Stream.add`."""
        stream = self._streams.get(ssrc)
        if stream is None:
            if len(self._streams) == MAX_STREAMS:
                self._forget_one()
            stream = self._streams[ssrc] = Stream(sequence, now)
        return stream.add(sequence, timestamp, rate, now)

    def _forget_one(self) -> None:
        """Keep only the counts of the stream that has been silent for longest."""
        ssrc = min(self._streams, key=lambda each: self._streams[each].heard)
        stream = self._streams.pop(ssrc)
        received, lost, duplicates = self._ended
        self._ended = (
            received + stream.received,
            lost + stream.lost,
            duplicates + stream.duplicates,
        )

    def sender_report(self, ssrc: int, stamp: int, now: float) -> None:
        """Take a stream's sender report: its NTP time of 64 bits."""
        stream = self._streams.get(ssrc)
        if stream is not None:
            stream.sender_report(stamp, now)

    def blocks(self, now: float) -> tuple[ReportBlock, ...]:
        """Report blocks of the streams of which something has come since the report before."""
        found = (stream.block(ssrc, now) for ssrc, stream in self._streams.items())
        return tuple(block for block in found if block is not None)

    @property
    def streams(self) -> int:
        """How many streams are kept."""
        return len(self._streams)

    @property
    def received(self) -> int:
        """Packets received, of all streams, without duplicates."""
        return self._ended[0] + sum(stream.received for stream in self._streams.values())

    @property
    def lost(self) -> int:
        """Packets missing by sequence numbers, of all streams."""
        return self._ended[1] + sum(stream.lost for stream in self._streams.values())

    @property
    def duplicates(self) -> int:
        """Packets received more than once, of all streams."""
        return self._ended[2] + sum(stream.duplicates for stream in self._streams.values())

    @property
    def jitter(self) -> float:
        """Of the stream that was heard last, in seconds; 0 before the first."""
        if not self._streams:
            return 0.0
        return max(self._streams.values(), key=lambda stream: stream.heard).jitter_seconds
