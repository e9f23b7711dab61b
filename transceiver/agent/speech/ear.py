"""The ear of one session: from its sound to the beginnings and ends of the user's turns."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from transceiver.agent.speech.activity import CHUNK, Activity
from transceiver.agent.speech.detection import Detection
from transceiver.agent.speech.echo import EchoGate
from transceiver.agent.speech.turns import EarEvent, Turns
from transceiver.media.resample import WidebandDownsampler

_FULL_SCALE = 32768


class Ear:
    """Hears one session.

    What it does with a frame takes well below a millisecond, so it is done where the frame arrives.

    Args:
        turn_detection: As the session has it; None where the client commits turns itself.
        activity: The session's own detector of speech.
    """

    def __init__(self, turn_detection: Mapping[str, Any] | None, activity: Activity) -> None:
        self._activity = activity
        self._resampler = WidebandDownsampler()
        self._half = b""  # of a sample
        self._line = np.zeros(0, np.int16)
        self._echo = EchoGate()
        self._turns = Turns(Detection())
        self._is_on = False
        self.configure(turn_detection)

    def configure(self, turn_detection: Mapping[str, Any] | None) -> None:
        """Take new settings; a turn that goes on is ended by them, or forgotten by None."""
        self._is_on = turn_detection is not None
        if turn_detection is None:
            self._turns.forget()
        else:
            self._turns.detection = Detection.of(turn_detection)

    @property
    def position_ms(self) -> int:
        """How much sound was looked at; less than a chunk of 32 ms more was fed."""
        return self._turns.position_ms

    @property
    def pause_ms(self) -> int | None:
        """Where the silence began that may be the end of the turn; None while there is none."""
        return self._turns.pause_ms

    @property
    def is_speech(self) -> bool:
        """Whether a turn is going on."""
        return self._turns.speaking

    def feed(self, pcm: bytes) -> list[EarEvent]:
        """Take the next sound of the user, of any length; what has begun or ended in it.

        Args:
            pcm: PCM16, little endian, mono, 24 kHz.
        """
        pcm = self._half + pcm
        whole = len(pcm) // 2 * 2
        self._half = pcm[whole:]
        new = self._resampler(np.frombuffer(pcm[:whole], "<i2"))
        self._line = np.concatenate((self._line, new))
        events = []
        at = 0
        while len(self._line) - at >= CHUNK:
            event = self._hear(self._line[at : at + CHUNK])
            at += CHUNK
            if event is not None:
                events.append(event)
        self._line = self._line[at:].copy()
        return events

    def while_speaking(self, level: float) -> None:
        """The agent's own sound goes out: call it for each frame, as it is sent.

        Args:
            level: Of the frame, by `levels.level_of`.
        """
        self._echo.sent(level)

    def forget(self) -> None:
        """Forget a turn that goes on: the client has committed or cleared the sound."""
        self._turns.forget()

    def _hear(self, chunk: np.typing.NDArray[np.int16]) -> EarEvent | None:
        if not self._is_on:
            self._turns.skip()
            return None
        power = np.square(chunk, dtype=np.float32).mean()
        passes = self._echo.passes(float(np.sqrt(power)) / _FULL_SCALE)
        probability = self._activity(chunk)
        return self._turns.hear(
            probability if passes else 0.0, over_playback=not self._echo.is_open
        )
