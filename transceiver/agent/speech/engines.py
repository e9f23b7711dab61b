"""What makes sound of text: hibari-tts, whose wheel has its voice, and the program espeak-ng."""

import io
import shutil
import subprocess
import wave
from typing import Protocol

import numpy as np

from transceiver.agent.speech.errors import AgentError
from transceiver.agent.speech.levels import Samples, at_rate

_SEED = 1  # of the noise in a voice: the same text sounds the same
_SECONDS = 20.0


class Engine(Protocol):
    """Makes sound of text. It is used by several threads at a time.

    Attributes:
        voices: The names of its voices, the usual one first.
    """

    voices: tuple[str, ...]

    def say(self, text: str, voice: str, speed: float) -> Samples:
        """The sound of a sentence, at 24 kHz, about 1 at most.

        Raises:
            AgentError: It could not be made.
        """


class Hibari:
    """The package hibari-tts.

    Its other voices would be fetched from a network when first used, so they are not offered.

    Raises:
        ImportError: It is not installed.
    """

    def __init__(self) -> None:
        from hibari import Hibari as Model  # noqa: PLC0415  # it is loaded by those who speak only
        from hibari.voices import DEFAULT  # noqa: PLC0415

        self.voices: tuple[str, ...] = (str(DEFAULT),)
        self._model = Model()

    def say(self, text: str, voice: str, speed: float) -> Samples:
        """See `Engine`."""
        del voice
        sound: Samples = self._model(text, speed=speed, seed=_SEED)
        return sound


class Espeak:
    """The program espeak-ng.

    Raises:
        FileNotFoundError: It is not installed.
    """

    _WORDS_A_MINUTE = 165

    def __init__(self) -> None:
        found = shutil.which("espeak-ng")
        if found is None:
            raise FileNotFoundError("espeak-ng")
        self._program = found
        self._names = {"espeak": "en-us", "espeak-gb": "en-gb"}
        self.voices: tuple[str, ...] = tuple(self._names)

    def say(self, text: str, voice: str, speed: float) -> Samples:
        """See `Engine`."""
        command = [
            *(self._program, "--stdout", "-b", "1", "-v", self._names[voice]),
            *("-s", str(round(self._WORDS_A_MINUTE * speed)), "--stdin"),
        ]
        try:
            ran = subprocess.run(  # text by standard input: it may begin with a hyphen
                command, input=text.encode(), capture_output=True, timeout=_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise AgentError(f"espeak-ng could not speak: {error}") from error
        with wave.open(io.BytesIO(ran.stdout)) as sound:
            rate = sound.getframerate()
        # Its header says more samples than there are, because it is written before them.
        samples = np.frombuffer(ran.stdout[44 : len(ran.stdout) // 2 * 2], "<i2")
        return at_rate(samples.astype(np.float32) / np.float32(32768), rate)


def engines() -> list[Engine]:
    """Those that are installed, the best one first."""
    found: list[Engine] = []
    for engine in (Hibari, Espeak):
        try:
            found.append(engine())
        except (ImportError, FileNotFoundError):
            continue
    return found
