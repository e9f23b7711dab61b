"""The packets of one stream that wait to be played, on time lines that do not wrap.

Numbers and timestamps may jump to anywhere: a stream that goes on from there is taken to begin
anew, at the delay that it had. Numbers are trusted for the order, timestamps for durations; only
together they tell a packet that took a long way from one of a stream that began anew.
"""

from typing import NamedTuple

from transceiver.media.codec import FRAME_SAMPLES
from transceiver.media.delay import RATE, Delay
from transceiver.media.red import Block
from transceiver.media.rtp import WINDOW, Packet

_NEAR = 100  # numbers: a packet further ahead or behind may be of a stream that began anew
# Ticks, as parts of a second, between two packets of a stream: 2.5 to 120 ms (RFC 6716, 2.1.4).
_LEAST, _MOST_APART = 1 / 400, 0.12
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
        begins: The number from which it did, the last time.
        asked: Numbers, as they are on the wire, that came or will come a second time because they
            were asked for: they say nothing about delay.
    """

    def __init__(self, delay: Delay) -> None:
        self.next = 0
        self.highest = -1
        self.waiting: dict[int, Waiting] = {}
        self.late = self.skipped = self.restarts = self.begins = 0
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
        if not -_NEAR < step <= _NEAR:
            if self._took_long(packet, step, rate):
                self.late += 1
            else:
                self._wander(packet, rate, now)
            return
        if step > 0 and self._stray is not None and self._is_behind(self._stray[0]):
            self._stray = None  # while the stream goes on, nothing behind it is a new begin
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

    def _is_behind(self, packet: Packet) -> bool:
        return (packet.sequence - self.highest & 0xFFFF) >= 0x8000

    def _took_long(self, packet: Packet, step: int, rate: int) -> bool:
        """Whether a packet far behind is of this stream, by a path that was left or stood still.

        Of a client that goes from Wi-Fi to a telephone network the old packets may come seconds
        after the new ones. Their time is as far back as their number; a stream that begins anew
        close behind says another time. Of another codec no one can tell: it is late, too.
        """
        if not -WINDOW < step <= -_NEAR:
            return False
        if not rate or rate != self._rate:
            return True
        back = -_ticks(self._timestamp, packet.timestamp) / rate
        return _LEAST <= back / -step <= _MOST_APART

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
        self.begins = ahead + (stray[0].sequence - ahead & 0xFFFF)
        self.highest = self.begins - 1
        self._rate = 0
        self.insert(*stray)
        self.insert(packet, rate, now)

    def _place(self, packet: Packet, rate: int, clock: float, *, newest: bool) -> int:
        """Where the audio of a packet begins on the time line."""
        base = self._delay.base
        start = round(clock - base)  # where one is that the network has not held up
        if rate == self._rate:
            place = self._start + _ticks(self._timestamp, packet.timestamp) * RATE // rate
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

    def lost_before(self, packet: Waiting) -> int:
        """How many are missing before the packet that is played next.

        Where the stream has begun anew, the numbers before that say nothing of losses.
        """
        anew = self.next < self.begins <= packet.number
        return packet.number - (self.begins if anew else self.next)

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
        if span == len(self.waiting) or span > _NEAR:
            return []
        found: list[tuple[int, int]] = []
        behind: tuple[int, int] | None = None  # the last packet with sound that is there
        missing: list[int] = []
        for number in range(self.highest, self.next - 1, -1):
            packet = self.waiting.get(number)
            if packet is None:
                missing.append(number)
            elif packet.start is not None:
                here = number, packet.start
                found += _places(missing, here, behind)
                behind, missing = here, []
        return (found + _places(missing, (self.next - 1, self._taken), behind))[-most:]


def _places(
    missing: list[int], before: tuple[int, float], behind: tuple[int, int] | None
) -> list[tuple[int, int]]:
    """Numbers and where their audio begins, between two packets of which these are known."""
    if not missing or behind is None:
        return []
    number, start = behind
    length = (start - before[1]) / (number - before[0])
    if not _LEAST <= length / RATE <= _MOST_APART:  # a silence lies between them
        length = FRAME_SAMPLES
    return [(each, round(start - (number - each) * length)) for each in missing]


def _ticks(start: int, end: int) -> int:
    """From one timestamp to another, with a sign."""
    return ((end - start + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
