"""Recognition of speech: the interface, and how another recogniser takes the place of ours."""

import importlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from relay.errors import ConfigError
from transceiver.agent.speech.errors import AgentError

DEFAULT = "transceiver.agent.speech.sphinx:Sphinx"


@runtime_checkable
class Recogniser(Protocol):
    """Turns speech into text, for all sessions of a process. It never blocks the event loop."""

    async def open(self) -> None:
        """Load models and warm up.

        Raises:
            AgentError: It cannot be used; the text says what to do.
        """

    async def close(self) -> None:
        """End what was opened."""

    async def transcribe(self, pcm: bytes, *, phrases: Sequence[str] = ()) -> str:
        """What is said in a turn; empty where nothing was understood.

        Args:
            pcm: PCM16, little endian, mono, 24 kHz.
            phrases: What is likely to be said, beside what the agent itself knows.

        Raises:
            AgentError: It could not be worked on now.
        """


def recogniser(where: str = DEFAULT) -> Recogniser:
    """The recogniser that a setting names: `module:attribute`, called without arguments.

    Raises:
        ConfigError: There is none.
        AgentError: It cannot be used; the text says what to do.
    """
    module, colon, attribute = where.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"{where!r} names no recogniser: write it as module:attribute")
    try:
        found = getattr(importlib.import_module(module), attribute)()
    except (ConfigError, AgentError):
        raise
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"There is no recogniser {where}: {error}") from error
    if not isinstance(found, Recogniser):
        raise ConfigError(f"{where} is no recogniser: it needs open, close and transcribe")
    return found
