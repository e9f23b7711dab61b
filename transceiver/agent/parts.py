"""What an agent is made of besides the protocol: ears, a recogniser, a voice, and skills.

Sound is PCM16: 24,000 samples a second, little endian, mono.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transceiver.agent.skills import Reply, Situation
from transceiver.agent.speech.turns import EarEvent


class Ear(Protocol):
    """Finds the turns of one client in its sound."""

    @property
    def position_ms(self) -> int:
        """How much of the sound fed was looked at."""

    @property
    def pause_ms(self) -> int | None:
        """Where the silence began that may be the end of a turn; None while there is none."""

    def feed(self, pcm: bytes) -> Sequence[EarEvent]:
        """What has happened by the end of this sound; times count all sound fed."""

    def while_speaking(self, level: float) -> None:
        """The agent is heard at this level (root mean square, 1 at most) as the next sound is."""


class Recogniser(Protocol):
    """Writes down what is said.

    It may be asked about a turn before that has ended, and then about the next pause in it.
    """

    async def transcribe(self, pcm: bytes, *, phrases: Sequence[str] = ()) -> str:
        """The words in some sound; empty if there are none. It does not block the event loop.

        Args:
            pcm: The sound.
            phrases: What is likely to be said.
        """


class Voice(Protocol):
    """Says texts."""

    def stream(
        self, text: str, *, speed: float = 1.0, voice: str | None = None
    ) -> AsyncIterator[bytes]:
        """The sound of a text, in pieces.

        Args:
            text: What is said.
            speed: 1 is the usual one.
            voice: The name of a voice; of one that there is not, the usual one.
        """


class Skills(Protocol):
    """Finds answers."""

    def answer(
        self,
        history: Sequence[Mapping[str, Any]],
        *,
        situation: Situation,
        tools: Sequence[Mapping[str, Any]],
        tool_choice: str | Mapping[str, Any],
        instructions: str,
    ) -> Reply:
        """The answer to where a conversation stands."""

    def timer_ended(self, seconds: int) -> str:
        """What is said when a timer of so many seconds ends."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an agent; all but ears serve all of its sessions.

    Attributes:
        ear: Makes an ear from a session's `turn_detection`.
        recogniser: Hears words.
        voice: Says them.
        skills: Finds answers.
    """

    ear: Callable[[Mapping[str, Any]], Ear]
    recogniser: Recogniser
    voice: Voice
    skills: Skills
