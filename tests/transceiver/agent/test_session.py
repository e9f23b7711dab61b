"""A session of the agent, without a socket."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.supervision import Faults
from tests.transceiver.agent.conftest import LOUD, QUIET, Heard
from tests.transceiver.realtime import orders, strict
from transceiver.agent.parts import Parts
from transceiver.agent.session import PIECE, AgentSession
from transceiver.agent.speech.errors import PoolBusyError
from transceiver.realtime.commands import Close
from transceiver.realtime.engine import Engine
from transceiver.realtime.session import Session

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMIT = 10.0  # seconds


class Talk:
    """The client's end."""

    def __init__(self, parts: Parts, life: float) -> None:
        numbers = itertools.count(1)
        engine = Engine(
            Session.new("sess_1", "m", "v", 3600), lambda prefix: f"{prefix}_{next(numbers)}"
        )
        self.faults = Faults()
        self.session = AgentSession(engine, parts, self.faults, clock=lambda: NOON)
        self.events: list[dict[str, Any]] = []
        self._life = life
        self._said: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._unread = 0

    async def serve(self) -> Close | None:
        return await self.session.run(self._said.get, self._take, self._life)

    async def _take(self, message: str) -> None:
        event = json.loads(message)
        strict.check(event)
        async with self._news:
            self.events.append(event)
            self._news.notify_all()

    def tell(self, kind: str, **fields: Any) -> None:
        self._said.put_nowait(json.dumps({"type": kind, **fields}))

    def write(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        self.tell(
            "conversation.item.create",
            item={"type": "message", "role": "user", "content": content},
        )

    def append(self, sound: bytes) -> None:
        self.tell("input_audio_buffer.append", audio=base64.b64encode(sound).decode())

    def leave(self) -> None:
        self._said.put_nowait(None)

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""

        def found() -> bool:
            return any(each["type"] == kind for each in self.events[self._unread :])

        async with asyncio.timeout(LIMIT), self._news:
            await self._news.wait_for(found)
            kinds = [each["type"] for each in self.events]
            at = kinds.index(kind, self._unread)
            self._unread = at + 1
            return self.events[at]

    def sound(self) -> bytes:
        """All sound that has come."""
        return b"".join(
            base64.b64decode(each["delta"])
            for each in self.events
            if each["type"] == "response.output_audio.delta"
        )


@pytest.fixture
def talking(parts: Parts) -> Callable[..., Any]:
    @asynccontextmanager
    async def talk(life: float = 3600, parts: Parts = parts) -> AsyncIterator[Talk]:
        client = Talk(parts, life)
        serving = asyncio.create_task(client.serve())
        await client.until("session.created")
        yield client
        client.leave()
        async with asyncio.timeout(LIMIT):
            await serving
        assert len(asyncio.all_tasks()) == 1, "nothing is left running"
        orders.check(client.events)

    return talk


async def test_a_text_turn(talking: Callable[..., Any]) -> None:
    async with talking() as client:
        client.write("what time is it")
        client.tell("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.done")
        (item,) = done["response"]["output"]
        assert "12" in item["content"][0]["text"] or "noon" in item["content"][0]["text"].lower()
        assert client.sound() == b""


async def test_an_answer_is_said_with_its_transcript(talking: Callable[..., Any]) -> None:
    async with talking() as client:
        client.write("what time is it")
        client.tell("response.create")
        done = await client.until("response.done")
        said = done["response"]["output"][0]["content"][0]["transcript"]
        assert len(client.sound()) == len(LOUD) * 50 * len(said)
        deltas = [each for each in client.events if each["type"].endswith("audio.delta")]
        assert max(len(base64.b64decode(each["delta"])) for each in deltas) == PIECE


async def test_a_spoken_turn(talking: Callable[..., Any], heard: Heard) -> None:
    heard.words = ["what time is it"]
    async with talking() as client:
        client.append(QUIET * 500 + LOUD * 1000 + QUIET * 1000)
        started = await client.until("input_audio_buffer.speech_started")
        assert started["audio_start_ms"] == pytest.approx(200, abs=64)
        await client.until("response.done")
        (understood,) = heard.sounds  # the padding, what is said, and a pause
        assert len(understood) == pytest.approx(len(LOUD) * 1500, rel=0.05)
        assert len(client.sound()) > 0


async def test_a_turn_goes_on_after_a_pause(talking: Callable[..., Any], heard: Heard) -> None:
    heard.words = ["what", "what time is it"]
    async with talking() as client:
        client.append(QUIET * 500 + LOUD * 500 + QUIET * 300 + LOUD * 500 + QUIET * 1000)
        await client.until("response.done")
        shorter, longer = map(len, heard.sounds)
        assert longer - shorter == pytest.approx(len(LOUD) * 800, rel=0.05)
        assert "12" in _transcript(client)


async def test_a_turn_is_heard_again_when_its_pause_was_not_understood(
    talking: Callable[..., Any], heard: Heard
) -> None:
    heard.words = [PoolBusyError("too much"), "what time is it"]
    async with talking() as client:
        client.append(QUIET * 500 + LOUD * 500 + QUIET * 1000)
        await client.until("response.done")
        assert len(heard.sounds) == 2
        assert "12" in _transcript(client)
        assert not client.faults.counters


def _transcript(client: Talk) -> str:
    said = [each for each in client.events if each["type"].endswith("audio_transcript.done")]
    return str(said[-1]["transcript"])


async def test_speech_ends_the_answer_within_a_piece(
    talking: Callable[..., Any], heard: Heard
) -> None:
    heard.words = ["what can you do", "stop"]
    async with talking() as client:
        client.append(LOUD * 1000 + QUIET * 1000)
        await client.until("response.output_audio.delta")
        client.append(LOUD * 1000)
        started = await client.until("input_audio_buffer.speech_started")
        done = await client.until("response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        between = client.events[client.events.index(started) : client.events.index(done)]
        assert not [each for each in between if each["type"].endswith(".delta")]


async def test_cancelling(talking: Callable[..., Any]) -> None:
    async with talking() as client:
        client.write("help")
        client.tell("response.create")
        await client.until("response.output_audio.delta")
        client.tell("response.cancel")
        done = await client.until("response.done")
        assert done["response"]["status"] == "cancelled"
        client.write("what time is it")
        client.tell("response.create")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_function_call(talking: Callable[..., Any]) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    async with talking() as client:
        client.tell("session.update", session={"type": "realtime", "tools": [tool]})
        client.write("how is the weather")
        client.tell("response.create")
        call = await client.until("response.function_call_arguments.done")
        assert call["name"] == "get_weather"
        await client.until("response.done")
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        client.tell("conversation.item.create", item=output)
        client.tell("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.output_text.done")
        assert "unny" in done["text"]


async def test_transcripts(talking: Callable[..., Any], heard: Heard) -> None:
    heard.words = ["hello", RuntimeError("broken")]
    async with talking() as client:
        audio = {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}
        client.tell("session.update", session={"type": "realtime", "audio": audio})
        kind = "conversation.item.input_audio_transcription"
        client.append(LOUD * 200)
        client.tell("input_audio_buffer.commit")
        assert (await client.until(f"{kind}.completed"))["transcript"] == "hello"
        client.append(LOUD * 200)
        client.tell("input_audio_buffer.commit")
        await client.until(f"{kind}.failed")
        assert dict(client.faults.counters) == {"recognition": 1}


async def test_what_breaks_costs_one_answer(talking: Callable[..., Any], heard: Heard) -> None:
    async with talking() as client:
        heard.words = [RuntimeError("broken")]
        audio = base64.b64encode(LOUD * 100).decode()
        content = [{"type": "input_audio", "audio": audio}]
        item = {"type": "message", "role": "user", "content": content}
        client.tell("response.create", response={"input": [item]})
        done = await client.until("response.done")
        assert done["response"]["status"] == "failed"
        assert "broken" not in json.dumps(done)
        assert dict(client.faults.counters) == {"an answer": 1}
        client.write("what time is it")
        client.tell("response.create")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_too_much_to_do_is_no_fault(talking: Callable[..., Any], heard: Heard) -> None:
    heard.words = [PoolBusyError("ask again later"), PoolBusyError("ask again later")]
    async with talking() as client:
        audio = {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}
        client.tell("session.update", session={"type": "realtime", "audio": audio})
        client.append(LOUD * 200)
        client.tell("input_audio_buffer.commit")
        kind = "conversation.item.input_audio_transcription.failed"
        assert (await client.until(kind))["error"]["message"] == "ask again later"
        content = [{"type": "input_audio", "audio": base64.b64encode(LOUD * 100).decode()}]
        item = {"type": "message", "role": "user", "content": content}
        client.tell("response.create", response={"input": [item]})
        error = (await client.until("response.done"))["response"]["status_details"]["error"]
        assert error["code"] == "rate_limit_exceeded"
        assert not client.faults.counters


async def test_what_was_said_is_played_back(talking: Callable[..., Any], heard: Heard) -> None:
    heard.words = ["good morning to you"]
    async with talking() as client:
        off = {"input": {"turn_detection": None}}
        client.tell("session.update", session={"type": "realtime", "audio": off})
        client.write("echo my voice")
        client.tell("response.create", response={"output_modalities": ["text"]})
        await client.until("response.done")
        client.append(LOUD * 700)
        client.tell("input_audio_buffer.commit")
        client.tell("response.create")
        await client.until("response.done")
        assert client.sound() == LOUD * 700


class Endless:
    """A voice that begins and does not go on.

    Attributes:
        begun: It has.
        ended: Nobody listens any more.
    """

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def stream(
        self, text: str, *, speed: float = 1.0, voice: str | None = None
    ) -> AsyncIterator[bytes]:
        del text, speed, voice
        yield LOUD
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.mark.parametrize("leaves", [True, False])
async def test_what_nobody_waits_for_any_more_is_not_done(
    talking: Callable[..., Any], parts: Parts, *, leaves: bool
) -> None:
    voice = Endless()
    async with talking(parts=replace(parts, voice=voice)) as client:
        client.write("help")
        client.tell("response.create")
        async with asyncio.timeout(LIMIT):
            await voice.begun.wait()
        if not leaves:
            client.tell("response.cancel")
            async with asyncio.timeout(LIMIT):
                await voice.ended.wait()
    assert voice.ended.is_set()


async def test_a_timer_speaks_by_itself(talking: Callable[..., Any]) -> None:
    async with talking() as client:
        client.write("set a timer for one second")
        client.tell("response.create", response={"output_modalities": ["text"]})
        await client.until("response.done")
        await client.until("response.created")
        done = await client.until("response.done")
        assert "timer" in done["response"]["output"][0]["content"][0]["transcript"]


async def test_whoever_says_nothing_is_asked(talking: Callable[..., Any]) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    async with talking() as client:
        client.tell(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
        )
        client.write("what time is it")
        client.tell("response.create")
        await client.until("response.done")
        client.append(QUIET * (5000 + len(client.sound()) // 48 + 1000))
        await client.until("input_audio_buffer.timeout_triggered")
        done = await client.until("response.done")
        assert "there" in done["response"]["output"][0]["content"][0]["transcript"]


def patient(*, create_response: bool) -> dict[str, Any]:
    """A session of a client that may be silent for 5 s."""
    detection = {
        "type": "server_vad",
        "idle_timeout_ms": 5000,
        "create_response": create_response,
    }
    return {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}


async def fall_silent(client: Talk) -> None:
    """The client hears something, and says nothing to it."""
    before = len(client.sound())
    client.write("hello")
    client.tell("response.create")
    await client.until("response.done")
    client.append(QUIET * (6000 + (len(client.sound()) - before) // 48))
    await client.until("input_audio_buffer.timeout_triggered")


async def answer(client: Talk) -> str:
    """What the client is answered if it asks for that."""
    client.tell("response.create", response={"output_modalities": ["text"]})
    return str((await client.until("response.output_text.done"))["text"])


async def test_silence_that_was_passed_over_costs_no_turn(
    talking: Callable[..., Any], heard: Heard
) -> None:
    heard.words = ["", "what time is it"]
    async with talking() as client:
        client.tell("session.update", session=patient(create_response=False))
        await fall_silent(client)
        client.append(LOUD * 1000 + QUIET * 1000)
        await client.until("input_audio_buffer.speech_stopped")
        assert "12" in await answer(client)


async def test_a_response_with_a_context_of_its_own_is_not_about_silence(
    talking: Callable[..., Any],
) -> None:
    async with talking() as client:
        client.tell("session.update", session=patient(create_response=False))
        await fall_silent(client)
        content = [{"type": "input_text", "text": "what time is it"}]
        item = {"type": "message", "role": "user", "content": content}
        beside = {"conversation": "none", "input": [item], "output_modalities": ["text"]}
        client.tell("response.create", response=beside)
        assert "12" in (await client.until("response.output_text.done"))["text"]
        assert "there" in await answer(client)


async def test_who_is_silent_while_it_is_answered_is_not_asked_about_that(
    talking: Callable[..., Any], parts: Parts
) -> None:
    voice = Endless()
    async with talking(parts=replace(parts, voice=voice)) as client:
        client.tell("session.update", session=patient(create_response=True))
        client.write("help")
        client.tell("response.create")
        async with asyncio.timeout(LIMIT):
            await voice.begun.wait()
        client.append(QUIET * 7000)
        client.tell("response.cancel")
        await client.until("response.done")
        client.write("what time is it")
        assert "12" in await answer(client)


async def test_it_ends_when_it_is_old(parts: Parts) -> None:
    client = Talk(parts, life=0.05)
    async with asyncio.timeout(LIMIT):
        closing = await client.serve()
    assert closing == Close(1000, "session_expired")
    assert client.events[-1]["error"]["code"] == "session_expired"


async def test_whoever_does_not_read_stops_it(parts: Parts) -> None:
    """What waits is bounded, whatever is answered."""
    client = Talk(parts, life=3600)
    stuck = asyncio.Event()

    async def take(_: str) -> None:
        await stuck.wait()

    asked = itertools.count()

    async def ask() -> str:
        event = {"type": "session.update", "session": {"type": "realtime"}}
        next(asked)
        await asyncio.sleep(0)
        return json.dumps(event)

    serving = asyncio.create_task(client.session.run(ask, take, 3600))
    last = -2
    async with asyncio.timeout(LIMIT):
        while last != (last := next(asked)) - 1:
            for _ in range(200):
                await asyncio.sleep(0)
    assert last < 2000
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
