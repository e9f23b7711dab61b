"""How loud the user must be to count while the agent itself is heard. Pure.

Browsers take the agent's voice out of what they send, after some seconds of learning; telephones
and loudspeakers do not. So while the agent speaks, and `HOLD_MS` after it, sound counts as the
user's only above the loudest of what was sent in the last `WINDOW_MS` x the learnt gain of the echo
x `MARGIN`. The window covers the way there and back.

The gain is learnt from the loudest that was heard, beside the loudest that was sent. It falls
faster than it rises: a line without echo is learnt in a second, and a user who talks over the
agent teaches little.
"""

from collections import deque

from transceiver.agent.speech.turns import CHUNK_MS

WINDOW_MS = 400
HOLD_MS = 300
MARGIN = 1.5
#: At first, and at most: an echo louder than what was sent comes of a loudspeaker turned up.
FIRST_GAIN = 0.35
MAX_GAIN = 2.0
_FALL, _RISE = 0.06, 0.02  # of the difference, for each chunk
_QUIET = 1e-4  # of full scale (-80 dB): below this nothing is learnt


class EchoGate:
    """Learns an echo and says what is louder.

    Attributes:
        gain: Of the echo: heard level / sent level.
    """

    def __init__(self) -> None:
        chunks = WINDOW_MS // CHUNK_MS
        self.gain = FIRST_GAIN
        self._sent: deque[float] = deque([0.0] * chunks, chunks)
        # An echo comes late: it is compared with what was sent one window before as well.
        self._heard: deque[float] = deque(maxlen=2 * chunks)
        self._now = 0.0
        self._since_ms = HOLD_MS  # since the agent was last heard

    @property
    def is_open(self) -> bool:
        """Whether the agent is silent, so that all sound may be the user's."""
        return self._since_ms >= HOLD_MS

    def sent(self, level: float) -> None:
        """The agent is heard, at this level (root of the mean square, of full scale)."""
        self._now = max(self._now, level)

    def passes(self, heard: float) -> bool:
        """Take the next chunk that was heard, by its level; whether it may be the user's."""
        self._since_ms = 0 if self._now > _QUIET else self._since_ms + CHUNK_MS
        self._sent.append(self._now)
        self._now = 0.0
        if self.is_open:
            self._heard.clear()
            return True
        self._heard.append(heard)
        loudest = max(self._sent)
        passes = heard > loudest * self.gain * MARGIN
        if loudest > _QUIET:
            ratio = min(max(self._heard) / loudest, MAX_GAIN)
            self.gain += (ratio - self.gain) * (_RISE if ratio > self.gain else _FALL)
        return passes
