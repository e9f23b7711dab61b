"""Turns of the user, from probabilities of speech: hysteresis, padding, silence. Pure.

The detector gives a probability for each chunk of 32 ms. Speech begins with `ONSET_MS` of chunks at
or above the threshold, with gaps of one chunk at most: one chunk alone is a click. It ends after
the silence that is set. Silence begins with a chunk below the threshold by `HYSTERESIS`, and each
chunk at or above the threshold ends it: so a vowel that fades does not.
"""

from dataclasses import dataclass

from transceiver.agent.speech.detection import Detection

CHUNK_MS = 32
HYSTERESIS = 0.15
ONSET_MS = 64
#: Silence that may be the end of a turn; half of the silence that ends one, where that is less.
PAUSE_MS = 200
#: While the agent speaks, so much speech interrupts it: "mhm" and coughs do not.
ONSET_OVER_PLAYBACK_MS = 256
_GAP_MS, _GAP_OVER_PLAYBACK_MS = 32, 160  # where the agent is louder than the user's quiet sounds


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user has begun to speak.

    Attributes:
        start_ms: Where the turn's sound begins, with its padding, in ms of all sound fed.
    """

    start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user's turn has ended.

    Attributes:
        end_ms: Where its sound ends, with the silence that was waited for, in ms of all sound fed.
    """

    end_ms: int


@dataclass(frozen=True, slots=True)
class WentIdle:
    """Nobody has spoken since the agent did, for as long as is set.

    Attributes:
        start_ms: When the agent had spoken, in ms of all sound fed.
        end_ms: The time of this event.
    """

    start_ms: int
    end_ms: int


EarEvent = SpeechStarted | SpeechStopped | WentIdle


class Turns:
    """Finds turns.

    Args:
        detection: The settings.

    Attributes:
        detection: The same; they may be replaced at any time.
        position_ms: How much sound was heard.
        speaking: Whether a turn is going on.
    """

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.position_ms = 0
        self.speaking = False
        self._speech_ms = 0  # of the speech that may become a turn
        self._gap_ms = 0  # since its last chunk
        self._onset_ms = 0  # where it began
        self._silence_from: int | None = None
        self._ended_ms = 0  # the last turn
        self._idle_from: int | None = None

    def hear(self, probability: float, *, over_playback: bool = False) -> EarEvent | None:
        """Take the next chunk.

        Args:
            probability: That it is speech.
            over_playback: Whether the agent is heard at the same time.
        """
        begin = self.position_ms
        self.position_ms += CHUNK_MS
        if over_playback:
            self._idle_from = self.position_ms
        if self.speaking:
            return self._in_turn(probability, begin)
        return self._between(probability, begin, over_playback=over_playback) or self._idle()

    @property
    def pause_ms(self) -> int | None:
        """Where the silence began that may be the end of the turn; None while there is none."""
        patience = min(PAUSE_MS, self.detection.silence_duration_ms // 2)
        if self._silence_from is None or self.position_ms - self._silence_from < patience:
            return None
        return self._silence_from

    def skip(self) -> None:
        """Pass a chunk over, of which nobody wants to know."""
        self.position_ms += CHUNK_MS
        self._ended_ms = self.position_ms

    def forget(self) -> None:
        """Take what comes next as if nobody had spoken: the buffer was cleared or committed."""
        self.speaking = False
        self._speech_ms = self._gap_ms = 0
        self._silence_from = None
        self._ended_ms = self.position_ms

    def _between(
        self, probability: float, begin: int, *, over_playback: bool
    ) -> SpeechStarted | None:
        if probability < self.detection.threshold:
            self._gap_ms += CHUNK_MS
            if self._gap_ms > (_GAP_OVER_PLAYBACK_MS if over_playback else _GAP_MS):
                self._speech_ms = 0
            return None
        if not self._speech_ms:
            self._onset_ms = begin
        self._speech_ms += CHUNK_MS
        self._gap_ms = 0
        if self._speech_ms < (ONSET_OVER_PLAYBACK_MS if over_playback else ONSET_MS):
            return None
        self.speaking = True
        self._speech_ms = 0
        self._silence_from = self._idle_from = None
        return SpeechStarted(
            max(self._onset_ms - self.detection.prefix_padding_ms, self._ended_ms, 0)
        )

    def _in_turn(self, probability: float, begin: int) -> SpeechStopped | None:
        if probability >= self.detection.threshold:
            self._silence_from = None
        elif self._silence_from is None and probability < self.detection.threshold - HYSTERESIS:
            self._silence_from = begin
        if self._silence_from is None:
            return None
        end = self._silence_from + self.detection.silence_duration_ms
        if end > self.position_ms:
            return None
        self.forget()
        self._ended_ms = end
        return SpeechStopped(end)

    def _idle(self) -> WentIdle | None:
        limit = self.detection.idle_timeout_ms
        if limit is None or self._idle_from is None or self._speech_ms:
            return None
        if self.position_ms - self._idle_from < limit:
            return None
        start, self._idle_from = self._idle_from, None
        self._ended_ms = self.position_ms
        return WentIdle(start, self.position_ms)
