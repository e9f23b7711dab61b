"""When a turn of the user begins and ends: the settings, as a Realtime session has them.

https://platform.openai.com/docs/guides/realtime-vad
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Milliseconds of silence after which a turn ends under `semantic_vad`, by eagerness. OpenAI's
#: longest waits are 8, 4 and 2 s, for turns of which a model says that they are not complete. There
#: is no such model here (docs/design/agent.md), and so long a wait after each turn is dead air.
SEMANTIC_SILENCE_MS = {"low": 1_200, "medium": 700, "auto": 700, "high": 400}


@dataclass(frozen=True)
class Detection:
    """How turns are found.

    Attributes:
        threshold: The probability of speech from which on it is speech, 0 to 1.
        prefix_padding_ms: So much before the first speech still belongs to the turn.
        silence_duration_ms: After so much silence a turn has ended.
        idle_timeout_ms: After so much silence since the agent spoke, the user is idle; None: never.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None

    @classmethod
    def of(cls, turn_detection: Mapping[str, Any]) -> "Detection":
        """From a session's `audio.input.turn_detection`; what is absent or null has its default."""
        given = {name: value for name, value in turn_detection.items() if value is not None}
        if given.get("type") == "semantic_vad":
            silence = SEMANTIC_SILENCE_MS[given.get("eagerness", "auto")]
            return cls(silence_duration_ms=silence)
        return cls(
            threshold=given.get("threshold", cls.threshold),
            prefix_padding_ms=given.get("prefix_padding_ms", cls.prefix_padding_ms),
            silence_duration_ms=given.get("silence_duration_ms", cls.silence_duration_ms),
            idle_timeout_ms=given.get("idle_timeout_ms"),
        )
