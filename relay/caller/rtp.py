"""Exact counts of RTP packets by their sequence numbers, free of IO.

Packets are counted as they are on the wire: SRTP leaves the RTP header readable (RFC 3711).
"""

from dataclasses import dataclass, field

_HEADER_SIZE = 12  # bytes, RFC 3550 section 5.1
_CYCLE = 1 << 16  # sequence numbers wrap here
# RTCP packet types, as the same seven bits of an RTP header show them (RFC 5761 section 4).
_RTCP = range(64, 96)


@dataclass(slots=True)
class SequenceCounter:
    """Counts the received and lost packets of one stream.

    Numbers are unwrapped relative to the highest one seen, so a packet may be up to 32767
    places early or late (RFC 3550 section 6.4.1 calls the result the extended number).

    Attributes:
        received: Packets received, without duplicates.
        duplicates: Packets received again.
        reordered: Packets received after a later one.
    """

    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    _lowest: int = 0
    _highest: int = 0
    _missing: set[int] = field(default_factory=set)

    def add(self, sequence: int) -> None:
        """Count a packet with this 16-bit sequence number."""
        if not self.received:
            self._lowest = self._highest = sequence
            self.received = 1
            return
        ahead = (sequence - self._highest + _CYCLE // 2) % _CYCLE - _CYCLE // 2
        number = self._highest + ahead
        if number > self._highest:
            self._missing.update(range(self._highest + 1, number))
            self._highest = number
        elif number < self._lowest:
            self._missing.update(range(number + 1, self._lowest))
            self._lowest = number
            self.reordered += 1
        elif number in self._missing:
            self._missing.discard(number)
            self.reordered += 1
        else:
            self.duplicates += 1
            return
        self.received += 1

    @property
    def highest(self) -> int:
        """The highest sequence number so far, as 16 bits."""
        return self._highest % _CYCLE

    @property
    def lost(self) -> int:
        """Packets between the lowest and the highest sequence number that were not received."""
        return len(self._missing)

    @property
    def longest_loss(self) -> int:
        """The most packets that are missing in a row."""
        longest = run = 0
        previous = None
        for number in sorted(self._missing):
            run = run + 1 if number - 1 == previous else 1
            longest = max(longest, run)
            previous = number
        return longest


@dataclass(slots=True)
class RtpCounter:
    """Counts the RTP packets of one direction of a call; RTCP and everything else is ignored.

    Attributes:
        streams: The counter of each SSRC.
        first: When the first packet passed, in seconds of the clock of `add`; None before it.
        longest_pause: The longest time between two packets, in seconds.
    """

    streams: dict[int, SequenceCounter] = field(default_factory=dict)
    first: float | None = None
    longest_pause: float = 0.0
    _last: float = 0.0

    def add(self, datagram: bytes, now: float) -> None:
        """Count a datagram, if it is RTP.

        Args:
            datagram: The datagram as it is on the wire.
            now: The time in seconds, of any clock that only goes forward.
        """
        if len(datagram) < _HEADER_SIZE or datagram[0] >> 6 != 2 or datagram[1] & 0x7F in _RTCP:
            return
        ssrc = int.from_bytes(datagram[8:12], "big")
        self.streams.setdefault(ssrc, SequenceCounter()).add(int.from_bytes(datagram[2:4], "big"))
        if self.first is None:
            self.first = now
        else:
            self.longest_pause = max(self.longest_pause, now - self._last)
        self._last = now

    @property
    def packets(self) -> int:
        """Packets of all streams, without duplicates."""
        return sum(each.received for each in self.streams.values())

    @property
    def lost(self) -> int:
        """Lost packets of all streams."""
        return sum(each.lost for each in self.streams.values())

    @property
    def duplicates(self) -> int:
        """Duplicate packets of all streams."""
        return sum(each.duplicates for each in self.streams.values())

    @property
    def reordered(self) -> int:
        """Reordered packets of all streams."""
        return sum(each.reordered for each in self.streams.values())

    @property
    def longest_loss(self) -> int:
        """The most packets of one stream that are missing in a row."""
        return max((each.longest_loss for each in self.streams.values()), default=0)
