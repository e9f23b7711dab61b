"""The agent as a service, by the official Python client and without one."""

import ast
import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import FunctionType
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from relay.errors import BindError
from relay.wire.endpoint import Endpoint
from tests.transceiver.agent.conftest import LOUD, QUIET, Heard
from tests.transceiver.muxbench import Until
from tests.transceiver.realtime import strict
from transceiver.agent.parts import Parts
from transceiver.agent.service import MAX_MESSAGE, AgentService

LIMIT = 10.0  # seconds
MANUAL: Any = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
KEY = "sk-secret"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def client(service: AgentService) -> AsyncIterator[AsyncRealtimeConnection]:
    """A connection of the official client."""
    base = f"ws://{service.address}/v1"
    async with (
        AsyncOpenAI(api_key=KEY, websocket_base_url=base) as api,
        api.realtime.connect(model="gpt-realtime") as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        yield connection


async def events_until(client: AsyncRealtimeConnection, kind: str) -> list[Any]:
    """All events up to one of a kind, each of which is checked."""
    events: list[Any] = []
    async with asyncio.timeout(LIMIT):
        while not events or events[-1].type != kind:
            message = await client.recv_bytes()
            strict.check(json.loads(message))
            events.append(client.parse_event(message))
    return events


def sound_of(events: list[Any]) -> bytes:
    deltas = [each.delta for each in events if each.type == "response.output_audio.delta"]
    return b"".join(base64.b64decode(each) for each in deltas)


async def write(client: AsyncRealtimeConnection, text: str) -> None:
    content: Any = [{"type": "input_text", "text": text}]
    await client.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )


class TestOfficialClient:
    async def test_a_text_turn(self, client: AsyncRealtimeConnection) -> None:
        await client.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await write(client, "what can you do")
        await client.response.create()
        events = await events_until(client, "response.done")
        text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
        assert "time" in text
        assert events[-1].response.output[0].content[0].text == text

    async def test_a_function_call(self, client: AsyncRealtimeConnection) -> None:
        tool: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
        await client.session.update(session={"type": "realtime", "tools": [tool]})
        await write(client, "how is the weather")
        await client.response.create()
        (item,) = (await events_until(client, "response.done"))[-1].response.output
        assert (item.type, item.name) == ("function_call", "get_weather")
        await client.conversation.item.create(
            item={"type": "function_call_output", "call_id": item.call_id, "output": "sunny"}
        )
        await client.response.create(response={"output_modalities": ["text"]})
        done = (await events_until(client, "response.done"))[-1]
        assert "unny" in done.response.output[0].content[0].text

    async def test_cancelling(self, client: AsyncRealtimeConnection) -> None:
        await write(client, "help")
        await client.response.create()
        await events_until(client, "response.output_audio.delta")
        await client.response.cancel()
        done = (await events_until(client, "response.done"))[-1].response
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")

    async def test_a_manual_turn(self, client: AsyncRealtimeConnection, heard: Heard) -> None:
        heard.words = ["what time is it"]
        await client.session.update(session=MANUAL)
        await client.input_audio_buffer.append(audio=base64.b64encode(LOUD * 500).decode())
        await client.input_audio_buffer.commit()
        await events_until(client, "conversation.item.done")
        await client.response.create()
        assert sound_of(await events_until(client, "response.done"))
        assert heard.sounds == [LOUD * 500]

    async def test_a_turn_that_the_server_finds(
        self, client: AsyncRealtimeConnection, heard: Heard
    ) -> None:
        heard.words = ["what time is it"]
        transcription: Any = {"input": {"transcription": {"model": "whisper-1"}}}
        await client.session.update(session={"type": "realtime", "audio": transcription})
        sound = QUIET * 500 + LOUD * 1000 + QUIET * 1000
        for start in range(0, len(sound), 4800):
            piece = base64.b64encode(sound[start : start + 4800]).decode()
            await client.input_audio_buffer.append(audio=piece)
        events = await events_until(client, "response.done")
        kinds = [each.type for each in events]
        order = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "response.created",
            "response.output_audio.delta",
            "response.done",
        ]
        assert [kinds.index(each) for each in order] == sorted(map(kinds.index, order))
        kind = "conversation.item.input_audio_transcription.completed"
        assert [each.transcript for each in events if each.type == kind] == ["what time is it"]
        assert sound_of(events)

    async def test_its_errors_do_not_end_the_session(self, client: AsyncRealtimeConnection) -> None:
        await client.response.cancel(event_id="mine")
        error = (await events_until(client, "error"))[-1].error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "mine")
        await client.session.update(session=MANUAL)
        await events_until(client, "session.updated")


async def test_the_example_of_the_documentation(
    service: AgentService, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "realtime.md").read_text(encoding="utf-8")
    example = text.split("```python")[1].split("```")[0]
    assert "127.0.0.1:8090" in example
    code = compile(
        example.replace("127.0.0.1:8090", str(service.address)),
        "docs/realtime.md",
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    async with asyncio.timeout(LIMIT):
        await FunctionType(code, {})()
    assert capsys.readouterr().out.startswith("It is ")


class TestEdge:
    async def test_the_model_is_named_as_it_was_asked_for(
        self, service: AgentService, http: aiohttp.ClientSession
    ) -> None:
        for query, model, kind in (
            ("?model=gpt-realtime", "gpt-realtime", "realtime.session"),
            ("", "icelane-agent", "realtime.session"),
            ("?intent=transcription", None, "realtime.transcription_session"),
        ):
            async with http.ws_connect(f"{service.url}{query}") as socket:
                session = (await socket.receive_json())["session"]
                assert (session.get("model"), session["object"]) == (model, kind)

    async def test_only_the_subprotocol_is_answered_and_no_key_is_logged(
        self,
        service: AgentService,
        http: aiohttp.ClientSession,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        key = f"openai-insecure-api-key.{KEY}"
        with caplog.at_level(logging.DEBUG):
            for offered, answered in (
                (["realtime", key, "openai-agents-sdk.x"], "realtime"),
                ([key], None),
                ([], None),
            ):
                async with http.ws_connect(service.url, protocols=offered) as socket:
                    assert socket.protocol == answered
                    assert (await socket.receive_json())["type"] == "session.created"
        assert KEY not in caplog.text

    @pytest.mark.parametrize(
        ("query", "code", "reason"),
        [
            ("?call_id=rtc_1", 4000, "invalid_request_error.call_id_not_found"),
            (f"?model={'m' * 257}", 4000, "invalid_request_error.invalid_model"),
            ("?intent=video", 4000, "invalid_request_error.invalid_value"),
        ],
    )
    async def test_faults_come_after_the_connection(
        self,
        service: AgentService,
        http: aiohttp.ClientSession,
        query: str,
        code: int,
        reason: str,
    ) -> None:
        async with http.ws_connect(f"{service.url}{query}") as socket:
            strict.check(await socket.receive_json())
            closing = await socket.receive()
            assert (closing.data, closing.extra) == (code, reason)
        assert service.sessions == 0

    async def test_there_are_so_many_sessions(
        self, service: AgentService, http: aiohttp.ClientSession, until: Until
    ) -> None:
        sockets = [await http.ws_connect(service.url) for _ in range(3)]
        for each in sockets:
            await each.receive_json()
        async with http.ws_connect(service.url) as socket:
            event = await socket.receive_json()
            strict.check(event)
            assert event["error"]["code"] == "capacity_exceeded"
            assert (await socket.receive()).data == 1013
        await sockets[0].close()
        await until(lambda: service.sessions == 2)
        async with http.ws_connect(service.url) as socket:
            assert (await socket.receive_json())["type"] == "session.created"

    async def test_a_message_that_is_too_long_ends_the_session(
        self, service: AgentService, http: aiohttp.ClientSession, until: Until
    ) -> None:
        async with http.ws_connect(service.url) as socket:
            await socket.receive_json()
            with contextlib.suppress(ConnectionError):  # it stops to read in the middle
                await socket.send_str("x" * (MAX_MESSAGE + 1))
            async with asyncio.timeout(LIMIT):
                assert (await socket.receive()).type is not aiohttp.WSMsgType.TEXT
            await until(lambda: service.sessions == 0)

    async def test_a_session_has_its_time(self, parts: Parts, http: aiohttp.ClientSession) -> None:
        async with (
            AgentService(Endpoint("127.0.0.1", 0), parts, life=0.1) as service,
            http.ws_connect(service.url) as socket,
        ):
            await socket.receive_json()
            error = await socket.receive_json()
            assert error["error"]["code"] == "session_expired"
            closing = await socket.receive()
            assert (closing.data, closing.extra) == (1000, "session_expired")

    async def test_a_session_is_no_request_that_takes_too_long(
        self, parts: Parts, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("relay.httpedge.WHOLE_REQUEST", 0.2)
        async with (
            AgentService(Endpoint("127.0.0.1", 0), parts) as service,
            http.ws_connect(service.url) as socket,
        ):
            await socket.receive_json()
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.5)
            assert service.sessions == 1

    async def test_a_client_that_is_gone_is_noticed(
        self,
        parts: Parts,
        http: aiohttp.ClientSession,
        monkeypatch: pytest.MonkeyPatch,
        until: Until,
    ) -> None:
        monkeypatch.setattr("transceiver.agent.service.PING", 0.1)
        async with (
            AgentService(Endpoint("127.0.0.1", 0), parts) as service,
            http.ws_connect(service.url, autoping=False) as socket,
        ):
            await socket.receive_json()
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            await until(lambda: service.sessions == 0)

    async def test_what_it_is_and_how_it_is(
        self, service: AgentService, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(f"http://{service.address}/v1/models") as response:
            listing = await response.json()
        assert listing == {
            "object": "list",
            "data": [{"id": "icelane-agent", "object": "model", "owned_by": "icelane"}],
        }
        async with http.get(f"http://{service.address}/healthz") as response:
            known = {"status": "ok", "sessions": 0, "kept": 0, "capacity": 3}
            assert await response.json() == known

    async def test_when_it_stops_clients_are_told(
        self, parts: Parts, http: aiohttp.ClientSession
    ) -> None:
        async with AgentService(Endpoint("127.0.0.1", 0), parts) as service:
            socket = await http.ws_connect(service.url)
            await socket.receive_json()
        assert (await socket.receive()).data == 1001

    async def test_an_address_that_is_taken(self, service: AgentService, parts: Parts) -> None:
        with pytest.raises(BindError, match="the agent"):
            async with AgentService(service.address, parts):
                pass
