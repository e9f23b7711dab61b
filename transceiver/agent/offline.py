"""The parts of the offline agent: what its optional packages install."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from transceiver.agent.parts import Parts
from transceiver.agent.skills import Skills
from transceiver.agent.speech.activity import load
from transceiver.agent.speech.ear import Ear
from transceiver.agent.speech.recogniser import DEFAULT, recogniser
from transceiver.agent.speech.voice import Voice


@asynccontextmanager
async def offline_parts(where: str = DEFAULT) -> AsyncIterator[Parts]:
    """The parts, loaded and warm while the context is entered.

    Args:
        where: The recogniser, `module:attribute`.

    Raises:
        AgentError: One of them cannot be used; the text says what to do.
        ConfigError: There is no such recogniser.
    """
    network, hears, speaks = load(), recogniser(where), Voice()

    def ear(turn_detection: Mapping[str, Any]) -> Ear:
        return Ear(turn_detection, network.detector())

    async with AsyncExitStack() as stack:
        stack.push_async_callback(speaks.close)
        await speaks.open()
        stack.push_async_callback(hears.close)
        await hears.open()
        yield Parts(ear, hears, speaks, Skills())
