"""WebSockets of the control API: the events of a call, and sessions without WebRTC."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from relay import httpedge
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.lab.realtimeservice import RealtimeService
from transceiver.bridge.table import Service, Table
from transceiver.call import MAX_ONLOOKERS
from transceiver.server import Transceiver, TransceiverConfig

ANYWHERE = Endpoint("127.0.0.1", 0)
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Open = Callable[..., Awaitable[aiohttp.ClientWebSocketResponse]]


@pytest.fixture
async def running(
    service: RealtimeService, keys: KeyRing, target: Target
) -> AsyncIterator[Transceiver]:
    """A transceiver with an echo, a service, and one that is away."""
    table = Table(
        (
            Service("echo", None),
            Service("test", service.url, models=("gpt-realtime",)),
            Service("away", "ws://127.0.0.1:9/", models=("away",)),
            Service("hers", service.url, models=("secret",), principals=("alice",)),
        )
    )
    config = TransceiverConfig(ANYWHERE, ANYWHERE, target, keys, capacity=3, table=table)
    async with Transceiver(config) as transceiver:
        yield transceiver


@pytest.fixture
async def open_socket(running: Transceiver) -> AsyncIterator[Open]:
    async with aiohttp.ClientSession() as http:

        async def connect(path: str) -> aiohttp.ClientWebSocketResponse:
            return await http.ws_connect(f"ws://{running.control}{path}")

        yield connect


async def event(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await socket.receive_str(timeout=5))
    return found


async def test_events_of_a_call_are_seen_and_sent_beside_its_channel(
    running: Transceiver, service: RealtimeService, dial: Any, until: Until, open_socket: Open
) -> None:
    client = dial(running.control)
    await client.call(running.address, model="gpt-realtime")
    await until(lambda: client.messages)
    socket = await open_socket(f"/v1/sessions/{client.id}/events")
    assert (await event(socket))["type"] == "session.created"
    await service.connection.send("x.y", z=1)
    assert await event(socket) == {"type": "x.y", "event_id": "event_s", "z": 1}
    await until(lambda: len(client.messages) == 2)
    await socket.send_str('{"type": "response.create"}')
    await until(lambda: service.connection.received)
    await client.request("DELETE", f"/v1/sessions/{client.id}")
    assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_the_echo_has_a_side_band_too_and_it_may_be_the_only_channel(
    running: Transceiver, dial: Any, open_socket: Open, until: Until
) -> None:
    client = dial(running.control, channel=False)
    await client.call(running.address)
    socket = await open_socket(f"/v1/sessions/{client.id}/events")
    assert (await event(socket))["type"] == "session.created"
    await socket.send_str("hello")
    assert await socket.receive_str(timeout=5) == "hello"
    await socket.close()
    (call,) = running.calls
    await until(lambda: not call._onlookers)


async def test_not_everybody_can_look_on(
    running: Transceiver, dial: Any, open_socket: Open
) -> None:
    client = dial(running.control)
    await client.call(running.address)
    path = f"/v1/sessions/{client.id}/events"
    sockets = [await open_socket(path) for _ in range(MAX_ONLOOKERS)]
    for socket in sockets:
        assert (await event(socket))["type"] == "session.created"
    late = await open_socket(path)
    assert (await event(late))["error"]["code"] == "call_not_open"
    closed = await late.receive(timeout=5)
    assert (closed.data, closed.extra) == (4000, "invalid_request_error.call_not_open")


async def test_a_request_that_is_no_web_socket_is_told_so(running: Transceiver, dial: Any) -> None:
    client = dial(running.control)
    await client.call(running.address)
    for path in (f"/v1/sessions/{client.id}/events", "/v1/realtime"):
        status, reply = await client.request("GET", path)
        assert (status, reply["error"]["code"]) == (426, "upgrade_required")
    status, reply = await client.request("GET", "/v1/sessions/rtc_x/events")
    assert (status, reply["error"]["code"]) == (404, "no_session")


async def test_a_session_without_webrtc_is_the_services_own(
    service: RealtimeService, open_socket: Open, until: Until
) -> None:
    socket = await open_socket("/v1/realtime?model=gpt-realtime")
    assert (await event(socket))["type"] == "session.created"
    await service.connection.send("response.output_audio.delta", delta="AAAA")
    assert (await event(socket))["delta"] == "AAAA"
    await socket.send_str('{"type":  "x"}')
    await until(lambda: service.connection.received == [{"type": "x"}])
    await service.connection.socket.close(code=4321)
    assert (await socket.receive(timeout=5)).data == 4321


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", {}),
        ("&intent=transcription", {"intent": "transcription"}),
    ],
)
async def test_what_is_intended_is_told_to_the_service(
    service: RealtimeService, open_socket: Open, query: str, asked: dict[str, str]
) -> None:
    socket = await open_socket(f"/v1/realtime?model=gpt-realtime{query}")
    await event(socket)
    assert service.connection.request.query == {"model": "gpt-realtime"} | asked


async def test_a_session_without_webrtc_ends_at_the_service_too(
    service: RealtimeService, open_socket: Open, until: Until
) -> None:
    socket = await open_socket("/v1/realtime?model=gpt-realtime")
    await event(socket)
    await socket.close()
    await until(lambda: service.connection.socket.closed)


async def test_a_session_without_webrtc_of_the_echo(open_socket: Open) -> None:
    socket = await open_socket("/v1/realtime")
    assert (await event(socket))["type"] == "session.created"
    await socket.send_str("hello")
    assert await socket.receive_str(timeout=5) == "hello"


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("model=away", "backend_unreachable", "server_error.backend_unreachable"),
        ("model=away&principal=x", "backend_unreachable", "server_error.backend_unreachable"),
    ],
)
async def test_what_cannot_be_had_is_said_in_an_event(
    open_socket: Open, query: str, code: str, reason: str
) -> None:
    socket = await open_socket(f"/v1/realtime?{query}")
    assert (await event(socket))["error"]["code"] == code
    closed = await socket.receive(timeout=5)
    assert (closed.data, closed.extra) == (4000, reason)


async def test_models_are_those_of_the_principal(running: Transceiver, dial: Any) -> None:
    client = dial(running.control)
    _, all_of_them = await client.request("GET", "/v1/models?principal=alice")
    _, some = await client.request("GET", "/v1/models")
    assert [each["id"] for each in all_of_them["data"]] == [
        *("echo", "gpt-realtime", "away", "secret")
    ]
    assert [each["id"] for each in some["data"]] == ["echo", "gpt-realtime", "away"]
    assert some["data"][0] == {"id": "echo", "object": "model", "owned_by": "echo"}


async def test_there_is_a_most_of_sessions_without_webrtc(
    running: Transceiver, dial: Any, open_socket: Open
) -> None:
    sockets = [await open_socket("/v1/realtime") for _ in range(3)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await open_socket("/v1/realtime")
    assert caught.value.status == 503
    for socket in sockets:
        await socket.close()
    await dial(running.control).request("GET", "/v1/health")
    await open_socket("/v1/realtime")


async def test_sessions_without_webrtc_count_for_their_principals_beside_the_calls(
    running: Transceiver, dial: Any, open_socket: Open
) -> None:
    async def principals() -> dict[str, int]:
        _, health = await dial(running.control).request("GET", "/v1/health")
        found: dict[str, int] = health["principals"]
        return found

    client = dial(running.control)
    await client.call(running.address, principal="alice")
    paths = ("?principal=alice", "?principal=bob", "")
    sockets = [await open_socket(f"/v1/realtime{path}") for path in paths]
    assert await principals() == {"alice": 2, "bob": 1}
    await sockets[1].close()
    async with asyncio.timeout(10):
        while "bob" in await principals():
            pass
    assert await principals() == {"alice": 2}


async def test_a_web_socket_may_last_longer_than_a_request(
    open_socket: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpedge, "WHOLE_REQUEST", 0.3)
    socket = await open_socket("/v1/realtime")
    await event(socket)
    await asyncio.sleep(0.6)
    await socket.send_str("still here")
    assert await socket.receive_str(timeout=5) == "still here"
