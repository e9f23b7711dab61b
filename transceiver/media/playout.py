"""Plays one stream, a frame every 20 ms, with a delay that follows the network (as NetEQ does).

Each pull decodes what it needs, when it needs it. The *position* is the place of the next sample on
the sender's time line; the moment less the position, less the least transit, is the delay. Where
it is more than the target, periods of the speech are taken out; where it is less, they are
repeated (`stretch`). Where a packet is missing:

* its successor has it along (RFC 2198): it is played as if it had come, only later;
* its successor is there: it is lost; forward error correction, or else concealment, stands for it;
* nothing is there: concealment plays and the position stands still, so that a late packet finds
  its place, and a lost one is known when its successor comes;
* its successor says that there was none (DTX), or too much is missing: the sender was silent, and
  what comes next is played when its time has come, at the target.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from transceiver.media import stretch
from transceiver.media.codec import FRAME_BYTES, FRAME_SAMPLES, Decoder
from transceiver.media.delay import RATE, START, Delay
from transceiver.media.errors import CodecError
from transceiver.media.packetqueue import PacketQueue, Waiting
from transceiver.media.red import Block
from transceiver.media.rtp import Packet

_PAUSE = 4_800  # 200 ms of concealment are a pause: nobody knows any more what was said
_LONGEST_FILL = 500  # frames of a pause that the decoder fills with comfort noise; then nothing
_FADE = 5  # frames in which concealment goes to nothing where nobody said that there is noise
_TOLERANCE = 120  # 5 ms: what timestamps of one talk may be off
_TOO_MUCH = 480  # 20 ms above the target: something is to be taken out
_HASTE = 960  # 40 ms above it: at once
_TOO_LITTLE = 120  # 5 ms below the target
_CALM = 3  # frames from one change to the next, and from a concealment to a change
_ENOUGH = FRAME_SAMPLES + stretch.LONGEST  # samples to take some of, and have a frame left
_LOSS = 0.01  # from here on forward error correction is worth its delay
_FEC = 0.25  # if it is there for so many of the losses
_FEC_WEIGHT = 1 / 8  # of a loss
_LOSS_WEIGHT = 1 / 250  # of a packet: five seconds
_SILENT = bytes(FRAME_BYTES)


class Playout:
    """Plays a stream.

    Args:
        decoder_for: Gives a new decoder for a payload type; None for one without sound.
        clock_rates: Ticks a second by payload type, of those with sound.
        start: Of the delay, until it is known; in samples.

    Attributes:
        stats: Counts by name: ``played``, ``undecodable``: packets; ``recovered``,
            ``concealed``, ``shortened``, ``lengthened``, ``sounded`` (what packets had): samples
            at 24 kHz.
        delay: How late packets are.
        queue: Those that wait.
        delayed: How long the position is behind the fastest packets, in samples.
    """

    def __init__(
        self,
        decoder_for: Callable[[int], Decoder | None],
        *,
        clock_rates: Mapping[int, int],
        start: float = START,
    ) -> None:
        names = ("played", "undecodable", "recovered", "concealed", "shortened", "lengthened")
        self.stats = dict.fromkeys((*names, "sounded"), 0)
        self.delay = Delay(start)
        self.queue = PacketQueue(self.delay)
        self.delayed = 0.0
        self._decoder_for = decoder_for
        self._clock_rates = clock_rates
        self._decoder: Decoder | None = None
        self._payload_type = -1
        self._pcm = bytearray()
        self._end = 0  # of what is decoded, on the sender's time line
        self._past = self._before = _SILENT  # the last frames that were played
        self._paused = True
        self._stood = 0  # samples of concealment while the position stood still
        self._filled = 0  # samples of this pause
        self._lasts = FRAME_SAMPLES  # how long packets are
        self._dtx = False  # whether the last packet announced silence
        self._join = False  # whether what is decoded next does not fit what was played
        self._calm = 0
        self._loss = 0.0  # share of packets
        self._fec = 0.0  # share of losses whose audio came with the next packet

    def insert(self, packet: Packet, now: float, earlier: Sequence[Block] = ()) -> None:
        """Take a packet, and the frames before it that came along."""
        queue = self.queue
        late = queue.late
        queue.insert(packet, self._clock_rates.get(packet.payload_type, 0), now)
        for back, block in enumerate(reversed(earlier), start=1):
            if rate := self._clock_rates.get(block.payload_type):
                queue.fill(packet, back, block, rate)
        if queue.late != late:
            self._loss = max(0.0, self._loss - _LOSS_WEIGHT)  # it was not lost after all

    @property
    def starving(self) -> int:
        """For how many samples there has been nothing to play."""
        if not self._paused:
            return self._stood
        return 0 if self.queue.waiting else max(self._filled, _PAUSE)

    @property
    def position(self) -> int:
        """What is played next, on the sender's time line, in samples."""
        return self._end - (len(self._pcm) >> 1)

    def pull(self, now: float) -> bytes:
        """The next 20 ms, 960 bytes."""
        pcm = self._pcm
        clock = now * RATE
        while len(pcm) < FRAME_BYTES:
            self._advance(clock)
        if not (self._paused or self._stood):
            if self._calm > 0:
                self._calm -= 1
            self._adapt(clock)
        frame = bytes(pcm[:FRAME_BYTES])
        del pcm[:FRAME_BYTES]
        self._before, self._past = self._past, frame
        return frame

    def _advance(self, clock: float) -> None:
        """Decode the next packet, or make what stands for it."""
        queue = self.queue
        packet = queue.following()
        if packet is None:
            self._stand()
        elif packet.start is None:
            queue.take(packet)
        elif self._paused:
            if clock - packet.start - self.delay.base < self.delay.target - _TOO_LITTLE:
                self._fill()
            else:
                self._play(packet)
        elif packet.number == queue.next:
            if packet.start - self._end > _TOLERANCE:
                self._pause()
            else:
                self._count_losses(int(packet.redundant))
                if packet.redundant:
                    self._fec += (1 - self._fec) * _FEC_WEIGHT
                self._play(packet)
        else:
            self._replace(packet)

    def _stand(self) -> None:
        """Conceal while nothing is there; the position stands still."""
        if self._paused:
            self._fill()
            return
        self._conceal(FRAME_SAMPLES)
        self._stood += FRAME_SAMPLES
        if self._stood >= _PAUSE:
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        self._stood = self._filled = 0

    def _fill(self) -> None:
        """A frame of a pause: comfort noise when the sender announced silence, else a fade."""
        frames = self._filled // FRAME_SAMPLES
        self._filled += FRAME_SAMPLES
        if self._decoder is None or frames >= (_LONGEST_FILL if self._dtx else _FADE):
            self._pcm += _SILENT
            return
        pcm = self._decoder.conceal(FRAME_SAMPLES)
        if not self._dtx:
            fall = np.linspace(1 - frames / _FADE, 1 - (frames + 1) / _FADE, FRAME_SAMPLES)
            pcm = (np.frombuffer(pcm, np.int16) * fall).astype(np.int16).tobytes()
        self._pcm += pcm

    def _conceal(self, samples: int) -> None:
        self.stats["concealed"] += samples
        self._calm = _CALM
        self._pcm += self._decoder.conceal(samples) if self._decoder else bytes(2 * samples)

    def _replace(self, packet: Waiting) -> None:
        """Make some of what was lost before a packet that is there."""
        decoder, start = self._decoder, packet.start
        if decoder is None or start is None or start - self._end > _PAUSE:
            self._pause()
            return
        hole = start - self._end
        left = hole - self._stood
        lost = self.queue.lost_before(packet)
        # The last of it is made at once, as it may be in the packet; not in one of another codec.
        is_ours = packet.payload_type == self._payload_type
        last = max(FRAME_SAMPLES, decoder.carries(packet.payload) if is_ours else 0)
        if left > last + _TOLERANCE:
            self._conceal(FRAME_SAMPLES)
            self._stood += FRAME_SAMPLES
            return
        if hole > 0:
            pcm = None
            if is_ours:
                pcm = decoder.recover(packet.payload, left if left > 0 else min(hole, last))
            self._fill_hole(pcm, left)
        self._count_losses(lost)
        self._end = start
        self._stood = 0
        self._play(packet)

    def _count_losses(self, lost: int) -> None:
        """Take note of a packet, and so many lost ones before it."""
        weight = min(1.0, _LOSS_WEIGHT * max(1, lost))
        self._loss += (min(1.0, lost) - self._loss) * weight
        # The successor of a lost packet has to be there when its time comes.
        worth = self._fec > _FEC and self._loss > _LOSS
        self.delay.extra = max(FRAME_SAMPLES, self._lasts) if worth else 0

    def _fill_hole(self, pcm: bytes | None, left: int) -> None:
        """Put what was recovered where something is left of a hole."""
        self._fec += ((pcm is not None) - self._fec) * _FEC_WEIGHT
        if left <= 0:
            # It was concealed before it could be recovered. The decoder is the better for it.
            self._join = pcm is not None or left < 0
        elif pcm is None:
            self._conceal(left)
        else:
            self.stats["recovered"] += left
            self._pcm += pcm

    def _play(self, packet: Waiting) -> None:
        """Decode a packet; it is the next one, whatever is missing before it."""
        self.queue.take(packet)
        start = packet.start or 0
        if packet.payload_type != self._payload_type:
            self._payload_type = packet.payload_type
            self._decoder = self._decoder_for(packet.payload_type)
        if self._decoder is None:
            return
        try:
            pcm = self._decoder.decode(packet.payload)
        except CodecError:
            self.stats["undecodable"] += 1
            pcm = self._decoder.conceal(FRAME_SAMPLES)
        else:
            self.stats["played"] += 1
            self.stats["sounded"] += len(pcm) >> 1
            if packet.redundant:
                self.stats["recovered"] += len(pcm) >> 1
        self._dtx = self._decoder.is_silence(packet.payload)
        if not self._dtx:
            self._lasts = len(pcm) >> 1
        self._end = start + (len(pcm) >> 1)
        if self._stood or self._join:
            pcm = self._merged(pcm)
        self._paused = self._join = False
        self._stood = 0
        self._pcm += pcm

    def _merged(self, pcm: bytes) -> bytes:
        """A packet's audio after a concealment that did not take its place in time."""
        if self._stood:
            self._calm = _CALM
        past = np.frombuffer(self._before + self._past + self._pcm, np.int16)
        return stretch.merge(past, np.frombuffer(pcm, np.int16)).tobytes()

    def _adapt(self, clock: float) -> None:
        """Bring the delay nearer to its target, when that is due."""
        left = len(self._pcm) >> 1
        rest = left % FRAME_SAMPLES
        self.delayed = clock - self.delay.base - self._end + left
        excess = self.delayed - self.delay.target
        if excess > _TOO_MUCH:
            haste = excess > _HASTE
            if haste or not self._calm:
                self._shorten(excess, rest, haste=haste)
        elif excess - rest < -_TOO_LITTLE and not self._calm:
            self._lengthen()

    def _shorten(self, excess: float, rest: int, *, haste: bool) -> None:
        while len(self._pcm) < 2 * _ENOUGH:
            packet = self.queue.waiting.get(self.queue.next)
            if packet is None or packet.start is None or abs(packet.start - self._end) > _TOLERANCE:
                return
            self._play(packet)
        pcm = np.frombuffer(bytes(self._pcm), np.int16)
        # Packets are needed at pulls only: either a whole frame goes from how long they wait, or
        # no more than what is left of one.
        most = int(excess) if excess - rest >= FRAME_SAMPLES else rest
        shorter = stretch.shorten(pcm, most, haste=haste)
        if shorter is None:
            return
        gone = len(pcm) - len(shorter)
        self.stats["shortened"] += gone
        self._calm = _CALM
        self._pcm[:] = shorter.tobytes()

    def _lengthen(self) -> None:
        past = np.frombuffer(self._before + self._past, np.int16)
        pcm = np.frombuffer(bytes(self._pcm), np.int16)
        longer = stretch.lengthen(past, pcm)
        if longer is None:
            return
        self.stats["lengthened"] += len(longer) - len(pcm)
        self._calm = _CALM
        self._pcm[:] = longer.tobytes()
