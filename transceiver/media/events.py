"""Keys that are pressed in a call: telephone-event (RFC 4733), both ways, free of IO.

```
|     event     |E|R| volume    |          duration             |
```

All packets of a press have the timestamp of its begin; the duration, in the same ticks, grows. The
last packet, with the E bit, is sent three times.
"""

import struct
from typing import NamedTuple

from transceiver.media.rtp import Packet

KEYS = "0123456789*#ABCD"  # by event number; RFC 4733, table 3
_FLASH = 16
_END_TIMEOUT = 0.25  # seconds without a packet of a press, after which its end was lost
_LATE = 5.0  # seconds: a press that began so much earlier than the last one is a new time line
_LONGEST = 0xFFFF  # ticks of one segment; a longer press goes on in the next (RFC 4733, 2.5.1.3)
_REPEATS = 3  # of the last packet (RFC 4733, 2.5.1.4)
_VOLUME = 10  # dB below full scale, of keys that we press
_GAP = 0.04  # seconds from one press to the next, at least
_event = struct.Struct("!BBH")


class KeyPress(NamedTuple):
    """A key that was pressed and released.

    Attributes:
        key: One of `KEYS`, or ``flash``.
        duration: Seconds.
    """

    key: str
    duration: float


class KeyReceiver:
    """Makes one `KeyPress` of the packets of a press, whichever of them come.

    Attributes:
        unknown: Packets with other events than keys, or with none.
    """

    def __init__(self) -> None:
        self.unknown = 0
        self._begun: _Press | None = None
        self._done: tuple[int, int] | None = None  # SSRC and timestamp of the last one

    def receive(self, packet: Packet, rate: int, now: float) -> KeyPress | None:
        """Take a packet.

        Args:
            packet: Of a payload type of telephone-event.
            rate: Ticks in a second of that payload type.
            now: When it came.

        Returns:
            A press that this packet has shown to be over.
        """
        if len(packet.payload) < _event.size or packet.payload[0] > _FLASH:
            self.unknown += 1
            return None
        number, flags, duration = _event.unpack_from(packet.payload)
        if self._is_old(packet, rate):
            return None
        over = None
        press = self._begun
        if press is None or not press.goes_on(packet, number):
            over = self._end()
            press = self._begun = _Press(packet.ssrc, packet.timestamp, number, rate)
        press.longer(packet.timestamp, duration, now)
        if flags & 0x80:
            # A press of its own, behind one whose end was lost: the earlier one is told first,
            # this one when its time is over, or with its next packet.
            return self._end() if over is None else over
        return over

    def expire(self, now: float) -> KeyPress | None:
        """A press whose end was lost, when nothing of it has come for a while."""
        if self._begun is None or now - self._begun.heard < _END_TIMEOUT:
            return None
        return self._end()

    def _is_old(self, packet: Packet, rate: int) -> bool:
        """Whether a packet repeats the last press, or belongs to one before."""
        if self._done is None or packet.ssrc != self._done[0]:
            return False
        behind = self._done[1] - packet.timestamp & 0xFFFF_FFFF
        return behind < _LATE * rate

    def _end(self) -> KeyPress | None:
        press, self._begun = self._begun, None
        if press is None:
            return None
        self._done = press.ssrc, press.segment
        key = KEYS[press.number] if press.number < _FLASH else "flash"
        return KeyPress(key, press.ticks / press.rate)


class _Press:
    """A key that is down."""

    __slots__ = ("_before", "heard", "number", "rate", "segment", "ssrc", "ticks")

    def __init__(self, ssrc: int, timestamp: int, number: int, rate: int) -> None:
        self.ssrc = ssrc
        self.segment = timestamp  # where the newest segment of it began
        self.number = number
        self.rate = rate
        self.ticks = 0
        self.heard = 0.0
        self._before = 0  # ticks of the segments that are over

    def goes_on(self, packet: Packet, number: int) -> bool:
        """Whether a packet belongs to this press."""
        if (packet.ssrc, number) != (self.ssrc, self.number):
            return False
        # Of this segment, of an earlier one, or of the next.
        return -_LONGEST <= _ticks(self.segment, packet.timestamp) <= 0 or self._follows(packet)

    def _follows(self, packet: Packet) -> bool:
        full = self.ticks - self._before == _LONGEST
        return full and _ticks(self.segment, packet.timestamp) == _LONGEST

    def longer(self, timestamp: int, duration: int, now: float) -> None:
        """Take what a packet says about how long the key is down."""
        self.heard = now
        ahead = _ticks(self.segment, timestamp)
        if ahead > 0:
            self._before += ahead
            self.segment = timestamp
        if ahead >= 0:
            self.ticks = max(self.ticks, self._before + duration)


def _ticks(start: int, end: int) -> int:
    """From one timestamp to another, with a sign."""
    return ((end - start + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


class KeySender:
    """Makes the payloads for keys that are to be pressed, one for each packet's time.

    Args:
        rate: Ticks in a second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._waiting: list[tuple[int, int]] = []  # event numbers and durations
        self._elapsed = 0
        self._ends = 0
        self._pause = 0

    def press(self, key: str, duration: float) -> None:
        """Press a key after those that wait.

        Args:
            key: One of `KEYS`.
            duration: Seconds, up to what one segment holds.
        """
        ticks = min(_LONGEST, max(1, round(duration * self._rate)))
        self._waiting.append((KEYS.index(key), ticks))

    @property
    def busy(self) -> bool:
        """Whether a key is down or waits."""
        return bool(self._waiting)

    def next(self, ticks: int) -> tuple[bytes, bool, int] | None:
        """What to send for the next packet's time.

        Args:
            ticks: How long that time is.

        Returns:
            The payload, whether it is the first of its press, and by how many ticks the press
            began before now; None when no key is down.
        """
        if not self._waiting:
            return None
        if self._pause > 0:
            self._pause -= ticks
            return None
        number, duration = self._waiting[0]
        begun = self._elapsed
        self._elapsed += ticks
        ended = self._elapsed >= duration
        payload = _event.pack(
            number, (0x80 if ended else 0) | _VOLUME, min(duration, self._elapsed)
        )
        if ended:
            self._ends += 1
            if self._ends == _REPEATS:
                self._waiting.pop(0)
                self._elapsed = self._ends = 0
                self._pause = round(_GAP * self._rate)
        return payload, begun == 0, begun
