"""The offline agent whole: it is spoken to in its own voice, and answers."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from tests.transceiver.realtime import orders, strict
from transceiver.agent.offline import offline_parts
from transceiver.agent.parts import Parts
from transceiver.agent.service import AgentService

LIMIT = 30.0  # seconds
MS = 48  # bytes of sound


class Caller:
    """A client that says texts in the agent's own voice, faster than anybody speaks."""

    def __init__(self, parts: Parts, client: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.client = client
        self._parts = parts

    async def say(self, text: str, *, silent: int = 300, then_silent: int = 1000) -> None:
        sound = bytes(silent * MS)
        async for piece in self._parts.voice.stream(text):
            sound += piece
        sound += bytes(then_silent * MS)
        for start in range(0, len(sound), 100 * MS):
            coded = base64.b64encode(sound[start : start + 100 * MS]).decode()
            await self.client.input_audio_buffer.append(audio=coded)

    async def until(self, *kinds: str) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT):
            while True:
                event = self.client.parse_event(await self.client.recv_bytes())
                shown: dict[str, Any] = event.to_dict(exclude_unset=True)
                strict.check(shown)
                self.events.append(shown)
                if event.type in kinds:
                    return shown


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(offline_parts())
        service = AgentService(Endpoint("127.0.0.1", 0), parts)
        await stack.enter_async_context(service)
        api = AsyncOpenAI(api_key="any", websocket_base_url=f"ws://{service.address}/v1")
        await stack.enter_async_context(api)
        client = await stack.enter_async_context(api.realtime.connect(model="icelane-agent"))
        made = Caller(parts, client)
        await made.until("session.created")
        yield made
        orders.check(made.events)
        assert not service.faults.counters


async def test_a_question_is_heard_and_answered(caller: Caller) -> None:
    transcription: Any = {"input": {"transcription": {"model": "whisper-1"}}}
    await caller.client.session.update(session={"type": "realtime", "audio": transcription})
    await caller.say("What time is it?")
    done = await caller.until("response.done")
    said = done["response"]["output"][0]["content"][0]["transcript"]
    assert said.startswith("It is ")
    heard = [each for each in caller.events if each["type"].endswith("transcription.completed")]
    assert [each["transcript"] for each in heard] == ["what time is it"]


async def test_whoever_speaks_over_it_is_answered(caller: Caller) -> None:
    """Its sound leaves at once, so what is interrupted here is its client's player."""
    await caller.say("What can you do?")
    first = await caller.until("response.done")
    assert first["response"]["status"] == "completed"
    await caller.say("What time is it?", silent=1500)  # it learns that there is no echo
    await caller.until("input_audio_buffer.speech_started")
    (item,) = first["response"]["output"]
    await caller.client.conversation.item.truncate(
        item_id=item["id"], content_index=0, audio_end_ms=300
    )
    await caller.until("conversation.item.truncated")
    last = await caller.until("response.done")
    assert last["response"]["output"][0]["content"][0]["transcript"].startswith("It is ")


async def test_a_tool_is_called_by_voice(caller: Caller) -> None:
    tool: Any = {
        "type": "function",
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {}},
    }
    await caller.client.session.update(session={"type": "realtime", "tools": [tool]})
    await caller.say("What is the weather?")
    call = await caller.until("response.function_call_arguments.done", "response.done")
    assert call.get("name") == "get_weather"


async def test_a_recogniser_that_there_is_not() -> None:
    with pytest.raises(ConfigError):
        async with offline_parts("nowhere"):
            pass
