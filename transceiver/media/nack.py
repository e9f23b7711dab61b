"""Which packets to ask for again (RFC 4585, generic NACK): those that can still come in time.

A number that is missing is asked for when a packet behind it is there and its place is to be
played later than a round trip from now. With the short delays of voice that is so on near or
uneven paths only; elsewhere forward error correction does the work.
"""

from transceiver.media.delay import RATE
from transceiver.media.packetqueue import PacketQueue

_MOST = 2  # times that a number is asked for
_REORDERED = 0.01  # seconds in which a packet that was overtaken comes by itself
_MOST_NUMBERS = 16  # at a time; more are an outage, and asking would make it worse

_MOST_ASKED = 64  # numbers that may still come


class Nack:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}

    def missing(
        self, queue: PacketQueue, position: float, round_trip: float, now: float
    ) -> tuple[int, ...]:
        """The numbers to ask for now, 16 bits each.

        Args:
            queue: Of the stream.
            position: What is to be played at this moment, on the sender's time line in samples.
            round_trip: In seconds.
            now: The moment.
        """
        numbers = queue.gaps(_MOST_NUMBERS)
        if not numbers and not self._asked:
            return ()
        self._asked = {number: self._asked.get(number) or _Asked(now) for number, _ in numbers}
        found = []
        for number, place in numbers:
            asked = self._asked[number]
            if (place - position) / RATE > round_trip and asked.is_due(round_trip, now):
                asked.times += 1
                asked.last = now
                found.append(number & 0xFFFF)
        if len(queue.asked) > _MOST_ASKED:
            queue.asked.clear()  # none of them came
        queue.asked.update(found)
        return tuple(found)


class _Asked:
    """A missing number: since when, how often and when last it was asked for."""

    __slots__ = ("last", "since", "times")

    def __init__(self, now: float) -> None:
        self.since = self.last = now
        self.times = 0

    def is_due(self, round_trip: float, now: float) -> bool:
        """Whether it is time to ask."""
        wait = max(round_trip, _REORDERED) if self.times else _REORDERED
        return self.times < _MOST and now - self.last >= wait
