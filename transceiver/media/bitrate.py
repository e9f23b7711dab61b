"""How many bits a second to send, and whether with forward error correction.

Three bounds, of which the lowest counts:

* what the client takes (a=fmtp) and what it says that its path takes (REMB),
* loss, by the rule of Google's congestion control (draft-ietf-rmcat-gcc-02, section 6): above 10 %
  down by half of the loss, below 2 % up by 5 %, at most once a second; loss alone stops at
  `LEAST_FEC`, below which libopus leaves FEC out: that helps against loss, fewer bits seldom do,
* the delay of the queue on the path, from transport-wide feedback in the way of LEDBAT (RFC 6817):
  one-way delay above the least of the last seconds; above 100 ms down by 15 %.
"""

from dataclasses import replace

from transceiver.media.opussettings import MAX_BITRATE, MIN_BITRATE, OpusSettings
from transceiver.media.transportcc import Feedback

LEAST_FEC = 28_000  # bits a second, for which libopus finds room for FEC when 10 % are lost
_HIGH_LOSS, _LOW_LOSS = 0.10, 0.02
_INTERVAL = 1.0  # seconds between two steps
_UP, _DOWN = 1.05, 0.85
_LONG_QUEUE, _QUEUE = 0.100, 0.050  # seconds
_BASE = 10.0  # seconds, after which a delay is no longer known as the least
_HALF_LIFE = 5.0  # seconds, in which what is known of loss halves
_FEC_ON, _FEC_OFF = 0.03, 0.01  # loss; FEC costs three times the time, so not for a single packet
_HEADERS = 12_000  # bits a second of RTP and SRTP headers, which REMB includes: 30 bytes, 50 times
# Percent of loss that libopus is told: few steps, so that it changes seldom, and never less than
# 10, for which it would leave FEC out at these bitrates.
_LOSS_STEPS = (10, 20, 30)
_GRAIN = 1_000  # bits a second; so that it changes seldom
_NUMBERS = 1_024  # packets that wait for feedback
_STALE = 5.0  # seconds after a transport-wide feedback in which reports' loss is not news


class BitrateControl:
    """Follows what the client says about the path.

    Args:
        wanted: What the client wants to receive.
        fec: Whether it can use FEC.
        now: When the call begins.

    Attributes:
        settings: How to encode now.
    """

    def __init__(self, wanted: OpusSettings, *, fec: bool, now: float) -> None:
        self.settings = self._wanted = wanted
        self._fec = fec
        self._rate = float(wanted.bitrate)
        self._remb = MAX_BITRATE
        self._loss = 0.0
        self._loss_at = now
        self._stepped = now
        self._queue = QueueDelay()
        self._sent: list[float] = [0.0] * _NUMBERS
        self._number = -1
        self._feedback_at = float("-inf")
        self._heard = self._missed = 0  # packets in feedback since the last step

    def want(self, wanted: OpusSettings, *, fec: bool) -> None:
        """The client wants something else from now on."""
        self._wanted, self._fec = wanted, fec
        self._rate = min(self._rate, wanted.bitrate)
        self._decide()

    @property
    def loss(self) -> float:
        """What is known of loss, 0.0 to 1.0: rises at once, and halves in five seconds."""
        return self._loss

    def number(self, now: float) -> int:
        """The transport-wide number of the packet that is sent now, 16 bits."""
        self._number += 1
        self._sent[self._number % _NUMBERS] = now
        return self._number & 0xFFFF

    def report(self, lost: float, now: float) -> None:
        """A report says which fraction was lost lately."""
        if now - self._feedback_at > _STALE:
            self._learn(lost, now)

    def remb(self, bitrate: int) -> None:
        """The client says how much its path takes, in bits a second, headers included."""
        self._remb = max(MIN_BITRATE, bitrate - _HEADERS)
        self._decide()

    def feedback(self, feedback: Feedback, now: float) -> None:
        """The client says when packets came, by their transport-wide numbers."""
        delays = []
        for index, arrival in enumerate(feedback.arrivals):
            # How long ago the number was given out; one that never was is nonsense.
            age = self._number - feedback.base - index & 0xFFFF
            if age >= min(_NUMBERS, self._number + 1):
                continue
            if arrival is None:
                self._missed += 1
            else:
                self._heard += 1
                delays.append(arrival - self._sent[(self._number - age) % _NUMBERS])
        if not delays and not self._missed:
            return
        self._feedback_at = now
        # Of several packets the one that waited least: what the others waited is jitter.
        if delays and self._queue.add(min(delays), now) > _LONG_QUEUE:
            self._step(_DOWN, MIN_BITRATE, now)
        total = self._heard + self._missed
        if now - self._stepped >= _INTERVAL and total:
            lost, self._heard, self._missed = self._missed / total, 0, 0
            self._learn(lost, now)

    def _learn(self, lost: float, now: float) -> None:
        faded = self._loss * 0.5 ** ((now - self._loss_at) / _HALF_LIFE)
        self._loss, self._loss_at = max(min(lost, 1.0), faded), now
        if lost > _HIGH_LOSS:
            self._step(1 - lost / 2, LEAST_FEC, now)
        elif lost < _LOW_LOSS and self._queue.delay < _QUEUE:
            self._step(_UP, MIN_BITRATE, now)
        self._decide()

    def _step(self, factor: float, floor: float, now: float) -> None:
        """Change the rate, at most once in an interval; a floor never raises it."""
        if now - self._stepped < _INTERVAL:
            return
        self._stepped = now
        changed = max(self._rate * factor, min(self._rate, floor))
        self._rate = min(self._wanted.bitrate, max(MIN_BITRATE, changed))
        self._decide()

    def _decide(self) -> None:
        limit = min(self._rate, self._remb, self._wanted.bitrate)
        bitrate = max(MIN_BITRATE, int(limit) // _GRAIN * _GRAIN)
        lossy = self._loss >= (_FEC_OFF if self.settings.fec else _FEC_ON)
        fec = self._fec and lossy and bitrate >= LEAST_FEC
        percent = next((step for step in _LOSS_STEPS if step >= 100 * self._loss), _LOSS_STEPS[-1])
        self.settings = replace(self._wanted, bitrate=bitrate, fec=fec, loss=percent if fec else 0)


class QueueDelay:
    """Tells how long packets wait on a path, of one-way delays by clocks that do not agree.

    Attributes:
        delay: Seconds above the least of the last 5 to 10 s.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self._least = self._least_before = float("inf")
        self._since = float("-inf")

    def add(self, one_way: float, now: float) -> float:
        """Take a delay, with any constant in it; returns `delay`."""
        if now - self._since >= _BASE / 2:
            self._least_before, self._least, self._since = self._least, one_way, now
        self._least = min(self._least, one_way)
        self.delay = one_way - min(self._least, self._least_before)
        return self.delay
