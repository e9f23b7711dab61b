"""The packets of one stream that wait to be played, on time lines that do not wrap.

Numbers and timestamps may jump to anywhere: a stream that goes on from there is taken to begin
anew, at the delay that it had. Numbers are trusted for the order, timestamps for durations only.
"""

from typing import NamedTuple

from transceiver.media.codec import FRAME_SAMPLES
from transceiver.media.delay import RATE, Delay
from transceiver.media.red import Block
from transceiver.media.rtp import Packet

_WINDOW = 100  # numbers: a packet further ahead or behind does not belong to these
_FOLLOWS = 8  # numbers: a stray one and one so close behind it are where the stream goes on
_LATE = RATE  # a packet that comes so much too late has another time line
_EARLY = 1_440  # 60 ms; so much too early, too: none is faster than the fastest
_SILENCE = 9_600  # 400 ms without a packet, in which the sender's clock may have stood still
_MOST = 200  # packets that wait
_LONGEST = RATE  # and how much audio


class Waiting(NamedTuple):
    """A packet that waits.

    Attributes:
        number: Its sequence number, on a line that does not wrap.
        start: Where its audio begins, in samples at 24 kHz; None for a packet without sound.
        payload_type: Of RTP.
        payload: Of RTP.
        redundant: Whether a later packet has brought it, as its own did not come.
    """

    number: int
    start: int | None
    payload_type: int
    payload: bytes
    redundant: bool = False


class PacketQueue:
    """Puts the packets of one stream in their order.

    Args:
        delay: Is told when they came.

    Attributes:
        next: The number that is to be played next.
        highest: The highest number that has come.
        waiting: By number.
        late: Packets that came after their turn.
        skipped: Packets that were not played because too many waited.
        restarts: Times that the stream went on from elsewhere.
        asked: Numbers, as they are on the wire, that came or will come a second time because they
            were asked for: they say nothing about delay.
    """

    def __init__(self, delay: Delay) -> None:
        self.next = 0
        self.highest = -1
        self.waiting: dict[int, Waiting] = {}
        self.late = self.skipped = self.restarts = 0
        self.asked: set[int] = set()
        self._delay = delay
        self._stray: tuple[Packet, int, float] | None = None
        self._begun = False
        self._rate = 0
        self._timestamp = 0  # of the packet that the time line hangs on
        self._start = 0  # its place there
        self._came = 0.0  # and when it came
        self._taken = float("-inf")  # where the audio begins that was taken last

    def insert(self, packet: Packet, rate: int, now: float) -> None:
        """Take a packet.

        Args:
            packet: The packet.
            rate: Ticks in a second of its timestamp; 0 for one without sound.
            now: When it came.
        """
        if not self._begun:
            self._begun = True
            self.next = packet.sequence
            self.highest = packet.sequence - 1
        step = ((packet.sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
        if not -_WINDOW < step <= _WINDOW:
            self._wander(packet, rate, now)
            return
        number = self.highest + step
        start = None
        if rate and packet.payload:
            start = self._place(packet, rate, now * RATE, newest=step > 0)
        if number < self.next:
            self.late += 1
            return
        if step > 0:
            self.highest = number
        self.waiting[number] = Waiting(number, start, packet.payload_type, packet.payload)
        if len(self.waiting) > 1:
            self._limit()

    def fill(self, packet: Packet, back: int, block: Block, rate: int) -> None:
        """Take a frame that a later packet has along, where its own has not come.

        Args:
            packet: The later packet, which was inserted.
            back: How many packets earlier the frame was sent.
            block: The frame.
            rate: Ticks in a second of the timestamps.
        """
        step = ((packet.sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
        with_it, number = self.waiting.get(self.highest + step), self.highest + step - back
        if with_it is None or with_it.start is None or not block.payload:
            return
        start = with_it.start - block.offset * RATE // rate
        # Who carries other frames than the ones just before: what was played is not said again.
        if number >= self.next and number not in self.waiting and start > self._taken:
            self.waiting[number] = Waiting(
                number, start, block.payload_type, block.payload, redundant=True
            )

    def _wander(self, packet: Packet, rate: int, now: float) -> None:
        """Go on elsewhere, when a second packet shows that the first was no accident."""
        stray = self._stray
        self._stray = packet, rate, now
        if stray is None or not 0 < (packet.sequence - stray[0].sequence & 0xFFFF) <= _FOLLOWS:
            return
        self._stray = None
        self.restarts += 1
        # On the line of numbers it is ahead of all that has come, which is played first.
        ahead = max(self.highest, self.next - 1) + 1
        self.highest = ahead + (stray[0].sequence - ahead & 0xFFFF) - 1
        self._rate = 0
        self.insert(*stray)
        self.insert(packet, rate, now)

    def _place(self, packet: Packet, rate: int, clock: float, *, newest: bool) -> int:
        """Where the audio of a packet begins on the time line."""
        base = self._delay.base
        start = round(clock - base)  # where one is that the network has not held up
        if rate == self._rate:
            ticks = (packet.timestamp - self._timestamp + 0x8000_0000) & 0xFFFF_FFFF
            place = self._start + (ticks - 0x8000_0000) * RATE // rate
            late = clock - place - base
            longest = _EARLY if clock - self._came > _SILENCE else _LATE
            if not newest or -_EARLY <= late <= longest:
                start = place
        if newest:
            self._rate, self._timestamp, self._start = rate, packet.timestamp, start
            self._came = clock
        if packet.sequence in self.asked:
            self.asked.discard(packet.sequence)
        elif -_EARLY <= clock - start - base <= _LATE:
            self._delay.add(clock - start, clock)
        return start

    def _limit(self) -> None:
        """Drop the oldest when more waits than anybody wants to hear late."""
        first = self.following()
        newest = self.waiting.get(self.highest)
        if first is None or newest is None:
            return
        too_long = (
            first.start is not None
            and newest.start is not None
            and newest.start - first.start > _LONGEST
        )
        if too_long or len(self.waiting) > _MOST:
            del self.waiting[first.number]
            self.next = first.number + 1
            self.skipped += 1

    def following(self) -> Waiting | None:
        """The packet that is played next, whether or not it is the one whose turn it is."""
        found = self.waiting.get(self.next)
        if found is None and self.waiting:
            found = self.waiting[min(self.waiting)]
        return found

    def take(self, packet: Waiting) -> None:
        """A packet is played; those before it are over."""
        del self.waiting[packet.number]
        self.next = packet.number + 1
        if packet.start is not None:
            self._taken = packet.start

    def gaps(self, most: int) -> list[tuple[int, int]]:
        """Numbers that are missing between those that wait, and about where their audio begins.

        Args:
            most: How many are looked for.
        """
        span = self.highest + 1 - self.next
        if span == len(self.waiting) or span > _WINDOW:
            return []
        found: list[tuple[int, int]] = []
        behind = None  # the last packet with sound that is there
        for number in range(self.highest, self.next - 1, -1):
            packet = self.waiting.get(number)
            if packet is None:
                if behind is not None and behind.start is not None:
                    distance = behind.number - number
                    found.append((number, behind.start - distance * FRAME_SAMPLES))
            elif packet.start is not None:
                behind = packet
        return found[-most:]
