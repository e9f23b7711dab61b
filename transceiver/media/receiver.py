"""Plays all streams of the client's audio section, a frame every 20 ms.

There is one, as a rule. A client that begins again under another SSRC is heard at once, with the
delay that the path is known to need; streams that go on side by side are mixed.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from transceiver.media.codec import FRAME_SAMPLES, Decoder
from transceiver.media.delay import RATE, START
from transceiver.media.nack import Nack
from transceiver.media.playout import Playout
from transceiver.media.red import Block
from transceiver.media.rtp import Packet

_MAX_STREAMS = 4  # that are played; a new one takes the place of the one heard least lately
_ENDED = 1_440  # 60 ms without anything to play end a stream, when there is a newer one
_SILENT = bytes(2 * FRAME_SAMPLES)
_FALL = np.linspace(1, 0, FRAME_SAMPLES, dtype=np.float32)


class Receiver:
    """Plays what is received.

    Args:
        decoder_for: Gives a new decoder for a payload type; None for one without sound.
        clock_rates: Ticks a second by payload type, of those with sound. It may change.
    """

    def __init__(
        self,
        decoder_for: Callable[[int], Decoder | None],
        *,
        clock_rates: Mapping[int, int],
    ) -> None:
        self._decoder_for = decoder_for
        self._clock_rates = clock_rates
        self._streams: dict[int, _Stream] = {}
        self._ended: dict[str, int] = {}

    def insert(self, packet: Packet, now: float, earlier: Sequence[Block] = ()) -> None:
        """Take a packet, of whatever stream and payload type.

        Args:
            packet: The packet.
            now: When it came.
            earlier: Frames before its own that came along, oldest first.
        """
        stream = self._streams.get(packet.ssrc)
        if stream is None:
            if packet.payload_type not in self._clock_rates or not packet.payload:
                return  # no stream begins with silence
            stream = self._begin(packet.ssrc)
        stream.heard = now
        stream.playout.insert(packet, now, earlier)

    def _begin(self, ssrc: int) -> "_Stream":
        if len(self._streams) == _MAX_STREAMS:
            self._end(min(self._streams, key=lambda each: self._streams[each].heard))
        known = [stream.playout.delay.target for stream in self._streams.values()]
        playout = Playout(
            self._decoder_for, clock_rates=self._clock_rates, start=max(known, default=START)
        )
        stream = self._streams[ssrc] = _Stream(playout)
        return stream

    def _end(self, ssrc: int) -> None:
        """Keep only the counts of a stream."""
        self._ended = self._sum([self._ended, self._counts(self._streams.pop(ssrc).playout)])

    def pull(self, now: float) -> bytes:
        """The next 20 ms, 960 bytes."""
        if len(self._streams) == 1:
            (stream,) = self._streams.values()
            return stream.playout.pull(now)
        if not self._streams:
            return _SILENT
        mixed = np.zeros(FRAME_SAMPLES, np.float32)
        newest = next(reversed(self._streams))
        for ssrc, stream in list(self._streams.items()):
            frame = np.frombuffer(stream.playout.pull(now), np.int16)
            if ssrc != newest and stream.playout.starving >= _ENDED:
                self._end(ssrc)
                mixed += frame * _FALL
            else:
                mixed += frame
        return np.clip(mixed, -32_768, 32_767).astype(np.int16).tobytes()

    def missing(self, round_trip: float, now: float) -> dict[int, tuple[int, ...]]:
        """Numbers of packets that are worth asking for again, by stream.

        Args:
            round_trip: In seconds.
            now: The moment.
        """
        return {
            ssrc: numbers
            for ssrc, stream in self._streams.items()
            if (numbers := stream.missing(round_trip, now))
        }

    @property
    def stats(self) -> dict[str, int | float]:
        """Counts, as in `Playout.stats` and of its queue, of all streams.

        With ``delay`` and ``target`` of the newest stream, in seconds.
        """
        counts = [self._counts(stream.playout) for stream in self._streams.values()]
        found: dict[str, int | float] = {**self._sum([self._ended, *counts])}
        if self._streams:
            playout = self._streams[next(reversed(self._streams))].playout
            found["delay"] = playout.delayed / RATE
            found["target"] = playout.delay.target / RATE
        return found

    @staticmethod
    def _counts(playout: Playout) -> dict[str, int]:
        queue = playout.queue
        return {
            **playout.stats,
            "late": queue.late,
            "skipped": queue.skipped,
            "restarts": queue.restarts,
        }

    @staticmethod
    def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in counts:
            for name, value in each.items():
                found[name] = found.get(name, 0) + value
        return found


class _Stream:
    """A stream that is played.

    Attributes:
        playout: Plays it.
        nack: What has been asked for.
        heard: When its last packet came.
    """

    __slots__ = ("heard", "nack", "playout")

    def __init__(self, playout: Playout) -> None:
        self.playout = playout
        self.nack = Nack()
        self.heard = 0.0

    def missing(self, round_trip: float, now: float) -> tuple[int, ...]:
        """What to ask for now."""
        return self.nack.missing(self.playout.queue, self.playout.position, round_trip, now)
