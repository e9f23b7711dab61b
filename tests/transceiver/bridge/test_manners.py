"""Calls to services that behave as those that people use, and worse: see docs/backends.md."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.lab.realtimeservice import Connection, RealtimeService, Script, beep, greet
from transceiver.bridge import link
from transceiver.server import Transceiver

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Dial = Callable[..., Any]

TONE = base64.b64encode(beep(0.5)).decode()


def kinds(client: Any) -> list[str]:
    return [json.loads(each)["type"] for each in client.messages]


async def raw(connection: Connection, *events: dict[str, Any]) -> None:
    for event in events:
        await connection.socket.send_str(json.dumps(event))


async def openai(connection: Connection) -> None:
    await greet(connection)
    await connection.send("response.created", response={"id": "r"})
    place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    await connection.send("response.output_audio_transcript.delta", delta="Hi", **place)
    await connection.send("response.output_audio.delta", delta=TONE, obfuscation="xx", **place)
    await connection.send("response.output_audio.done", **place)
    await connection.send("response.done", response={"id": "r", "status": "completed"})
    await connection.send("rate_limits.updated", rate_limits=[])


async def hugging_face(connection: Connection) -> None:
    """Neither content parts, nor ids of events; audio before all else."""
    await raw(connection, {"type": "session.created", "session": {"id": "s"}})
    await raw(
        connection, {"type": "response.output_audio.delta", "response_id": "r", "delta": TONE}
    )
    await raw(connection, {"type": "conversation.item.created", "item": {"id": "i"}})
    await raw(connection, {"type": "response.done", "response": {"id": "r"}})


async def speaches(connection: Connection) -> None:
    """Beta names."""
    await raw(connection, {"type": "session.created", "event_id": "e", "session": {"voice": "x"}})
    await raw(connection, {"type": "response.created", "response": {"id": "r"}})
    place = {"response_id": "r", "item_id": "i", "content_index": 0}
    await raw(connection, {"type": "response.audio.delta", "delta": TONE, **place})
    await raw(connection, {"type": "response.audio.done", **place})
    await raw(connection, {"type": "response.done", "response": {"id": "r"}})


async def local_ai(connection: Connection) -> None:
    """Errors that are texts; several items with sound in one response; no response.created."""
    await raw(connection, {"type": "session.created", "session": None})
    await raw(connection, {"error": "no such voice"})
    for item in ("i", "j"):
        place = {"response_id": "r", "item_id": item, "content_index": 0}
        await raw(connection, {"type": "response.output_audio.delta", "delta": TONE, **place})
    await raw(connection, {"type": "response.done", "response": {"id": "r"}})


async def xai(connection: Connection) -> None:
    await raw(connection, {"type": "conversation.created", "conversation": {"id": "c"}})
    await raw(connection, {"type": "ping", "timestamp": 1})
    await openai(connection)


async def inworld(connection: Connection) -> None:
    """Both modalities at once, and sound in one long event."""
    await greet(connection)
    await raw(connection, {"type": "response.created", "response": {"id": "r"}})
    await raw(connection, {"type": "response.output_text.delta", "delta": "Hi"})
    delta = base64.b64encode(beep(60.0)).decode()
    place = {"response_id": "r", "item_id": "i", "content_index": 0}
    await raw(connection, {"type": "response.output_audio.delta", "delta": delta, **place})


@pytest.mark.parametrize(
    "script",
    [openai, hugging_face, speaches, local_ai, xai, inworld],
    ids=lambda each: each.__name__,
)
async def test_a_greeting_is_heard_of_each_kind_of_service(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until, script: Script
) -> None:
    service.script = script
    client = dial(bridged.control)
    await client.call(bridged.address)
    await until(lambda: client.hears(10))
    await until(lambda: "output_audio_buffer.started" in kinds(client))
    events = [json.loads(each) for each in client.messages]
    assert all(each["event_id"] for each in events)
    assert not [each for each in events if "audio.delta" in each["type"]]
    created = next(each for each in events if each["type"] == "session.created")
    assert isinstance(created["session"], dict)
    assert all(isinstance(each["error"], dict) for each in events if each["type"] == "error")
    if script is not inworld:
        await until(lambda: "output_audio_buffer.stopped" in kinds(client))
    client.channel.send('{"type": "response.create"}')
    await until(lambda: "response.create" in service.connection.kinds())


async def test_a_service_that_only_takes_dictation(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    async def vllm(connection: Connection) -> None:
        await raw(connection, {"type": "session.created", "id": "s", "created": 1})
        await raw(connection, {"type": "transcription.delta", "delta": "hel"})
        await raw(connection, {"type": "transcription.done", "text": "hello"})
        await raw(connection, {"type": "error", "error": "bad", "code": "x"})

    service.script = vllm
    client = dial(bridged.control)
    await client.call(bridged.address)
    await until(lambda: "error" in kinds(client))
    assert kinds(client) == [
        *("session.created", "transcription.delta", "transcription.done", "error")
    ]
    assert json.loads(client.messages[0])["session"]["id"] == "s"


async def close_at_once(connection: Connection) -> None:
    await connection.socket.close()


async def close_after_greeting(connection: Connection) -> None:
    await greet(connection)
    await connection.socket.close(code=4000, message=b"bad")


async def close_in_a_response(connection: Connection) -> None:
    await greet(connection)
    await connection.say(beep(0.1))
    await connection.socket.close(code=1008)


async def cut_the_wire(connection: Connection) -> None:
    await greet(connection)
    assert connection.request.transport is not None
    connection.request.transport.abort()


_WRONG: tuple[Any, ...] = (None, 7, "x", [], [[]], {"id": []}, {"id": {"id": None}})


async def nonsense(connection: Connection) -> None:
    for text in ("", "{", "[]", "null", '{"type": null}', "[" * 50_000, '{"type": "error"}'):
        await connection.socket.send_str(text)
    await connection.socket.send_bytes(b"\xff\xfe")
    for kind in (
        *("session.created", "session.updated", "response.created", "response.done", "error"),
        *("response.output_audio.delta", "response.audio.delta", "response.output_audio.done"),
        *("input_audio_buffer.speech_started", "conversation.item.truncated"),
    ):
        for value in _WRONG:
            names = ("session", "response", "delta", "response_id", "item_id", "content_index")
            await connection.send(kind, error=value, **dict.fromkeys(names, value))
    await connection.socket.close()


async def huge(connection: Connection) -> None:
    await connection.send("large", x="y" * (12 << 20))
    await connection.socket.send_str("x" * (17 << 20))


async def endless(connection: Connection) -> None:
    await connection.send("response.created", response={"id": "r"})
    delta = base64.b64encode(bytes(1 << 20)).decode()
    for number in range(30):
        await connection.send(
            "response.output_audio.delta", response_id="r", item_id=f"i{number}", delta=delta
        )
    await connection.socket.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is made again soon."""
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "script",
    [
        *(close_at_once, close_after_greeting, close_in_a_response, cut_the_wire),
        *(nonsense, huge, endless),
    ],
    ids=lambda each: each.__name__,
)
async def test_a_bad_service_costs_the_turn_and_the_call_goes_on_with_a_good_one(
    service: RealtimeService,
    bridged: Transceiver,
    dial: Dial,
    until: Until,
    script: Script,
) -> None:
    service.script = script
    client = dial(bridged.control)
    await client.call(bridged.address)
    await until(lambda: "error" in kinds(client))
    service.script = greet
    made = len(service.connections)
    await until(lambda: len(service.connections) > made)
    client.channel.send('{"type": "output_audio_buffer.clear"}')
    await until(lambda: "output_audio_buffer.cleared" in kinds(client))
    await service.connection.say(beep(3.0), response="good", item="good")
    await until(lambda: client.hears(20))
    await until(lambda: len(service.connection.sound) > 0)
    (call,) = bridged.calls
    assert call.state == "connected"
    assert bridged.mux.counters.as_dict().get("session_part_broke", 0) == 0
