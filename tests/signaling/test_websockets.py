"""WebSockets passed on to a control API: both ways, whole, and with the words of their ends."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from openai import AsyncOpenAI

from relay.wire.route import Target
from signaling import websockets
from signaling.auth.apikeys import Quota
from signaling.callid import CALLS
from signaling.clientsecrets import CLIENT_SECRETS
from signaling.control import MAX_MESSAGE
from signaling.server import SignalingServer
from signaling.websockets import REALTIME
from tests.signaling.conftest import SDP, SELDOM, Keys, bearer, place
from tests.transceiver.conftest import until
from transceiver.server import Transceiver

__all__ = ["until"]  # a fixture

TARGET = Target(1, 1, 1)
CALL = "rtc_1-1-1-abc"
ON_CALL, ON_MODEL = {"call_id": CALL}, {"model": "gpt-realtime"}
TO_TRANSCRIBE = {"intent": "transcription"}
LIMIT = 10.0  # seconds

Until = Callable[[Callable[[], Any]], Awaitable[None]]


@pytest.fixture
async def api(control: Any) -> AsyncIterator[Any]:
    async with control().running() as running, asyncio.timeout(LIMIT * 3):
        yield running


@pytest.fixture
async def server(serve: Any, api: Any) -> AsyncIterator[SignalingServer]:
    async with serve((TARGET, api.url)) as running:
        yield running


def opening(
    http: aiohttp.ClientSession,
    server: SignalingServer,
    query: dict[str, str],
    protocols: tuple[str, ...] = (),
    **options: Any,
) -> Any:
    return http.ws_connect(server.url + REALTIME, params=query, protocols=protocols, **options)


async def fault(socket: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, Any], int, str]:
    """The error that comes on a WebSocket, and the code and reason of its close."""
    event = json.loads(await socket.receive_str())
    closed = await socket.receive()
    assert (event["type"], closed.type) == ("error", WSMsgType.CLOSE)
    assert event["event_id"].startswith("event_")
    return event["error"], closed.data, closed.extra or ""


@pytest.mark.parametrize(
    ("query", "path"),
    [
        (ON_CALL, "/v1/sessions/rtc_abc/events"),
        (ON_MODEL, "/v1/realtime?model=gpt-realtime"),
        ({"model": "a/b c&d"}, "/v1/realtime?model=a/b+c%26d"),
    ],
)
async def test_messages_pass_both_ways(
    http: aiohttp.ClientSession,
    server: SignalingServer,
    api: Any,
    query: dict[str, str],
    path: str,
) -> None:
    asked: list[str] = []

    async def talk(request: web.Request, socket: web.WebSocketResponse) -> None:
        asked.append(request.path_qs)
        await socket.send_str('{"type": "session.created"}')
        await type(api)().talk(request, socket)

    api.talk = talk
    async with opening(http, server, query) as socket:
        assert await socket.receive_str() == '{"type": "session.created"}'
        for text in ("", "{}", "ä" * 70_000):
            await socket.send_str(text)
            assert await socket.receive_str() == text
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"
    assert asked == [path]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "invalid_request"),
        (ON_CALL | ON_MODEL, "invalid_request"),
        (ON_CALL | TO_TRANSCRIBE, "invalid_request"),
        ({"intent": "realtime"}, "invalid_request"),
        ({"call_id": "", "model": ""}, "invalid_request"),
        ({"model": "m" * 300}, "invalid_value"),
    ],
)
async def test_exactly_one_of_call_and_model_is_wanted(
    http: aiohttp.ClientSession, server: SignalingServer, query: dict[str, str], code: str
) -> None:
    async with opening(http, server, query) as socket:
        error, closed, reason = await fault(socket)
    assert (error["code"], error["param"], closed) == (code, "model", 4000)
    assert reason == f"invalid_request_error.{code}"
    async with http.get(server.url + REALTIME, params=query) as response:
        assert response.status == 400


async def test_an_intent_is_one_that_there_is(
    http: aiohttp.ClientSession, server: SignalingServer
) -> None:
    async with opening(http, server, ON_MODEL | {"intent": "video"}) as socket:
        error, closed, reason = await fault(socket)
    assert (error["code"], error["param"], closed) == ("invalid_value", "intent", 4000)
    assert reason == "invalid_request_error.invalid_value"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (TO_TRANSCRIBE, "intent=transcription"),  # as the package for Node asks
        (ON_MODEL | TO_TRANSCRIBE, "model=gpt-realtime&intent=transcription"),
        (ON_MODEL | {"intent": "realtime"}, "model=gpt-realtime"),
    ],
)
async def test_who_wants_a_transcription_needs_no_model(
    http: aiohttp.ClientSession,
    server: SignalingServer,
    api: Any,
    query: dict[str, str],
    asked: str,
) -> None:
    async def talk(request: web.Request, socket: web.WebSocketResponse) -> None:
        await socket.send_str(request.query_string)

    api.talk = talk
    async with opening(http, server, query) as socket:
        assert await socket.receive_str() == asked


async def test_what_is_no_websocket_is_told_what_this_is(
    http: aiohttp.ClientSession, server: SignalingServer
) -> None:
    async with http.get(server.url + REALTIME, params=ON_MODEL) as response:
        assert response.status == 426
        assert response.headers["Upgrade"] == "websocket"
        assert "/v1/realtime/calls" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), None),
        (("realtime", "openai-insecure-api-key.ek_secret"), "realtime"),
        (("openai-insecure-api-key.ek_secret", "realtime", "openai-agents-sdk"), "realtime"),
        (("openai-insecure-api-key.ek_secret",), None),
    ],
)
async def test_of_subprotocols_only_realtime_is_answered_and_no_key_is_logged(
    *,
    http: aiohttp.ClientSession,
    server: SignalingServer,
    caplog: pytest.LogCaptureFixture,
    offered: tuple[str, ...],
    chosen: str | None,
) -> None:
    caplog.set_level(logging.DEBUG, "aiohttp")
    caplog.set_level(logging.DEBUG, "signaling")
    async with opening(http, server, ON_MODEL, offered) as socket:
        assert socket.protocol == chosen
    # The client of this test is aiohttp as well, and has a logger of its own.
    assert not [each for each in caplog.records if "secret" in each.getMessage()]


@pytest.mark.parametrize(
    ("query", "refusal", "code", "param"),
    [
        (ON_CALL, (404, {}), "call_id_not_found", "call_id"),
        ({"call_id": "rtc_7-7-7-abc"}, None, "call_id_not_found", "call_id"),
        ({"call_id": "nonsense"}, None, "call_id_not_found", "call_id"),
        (ON_MODEL, (404, {}), "model_not_found", "model"),
        (ON_MODEL, (503, {"Retry-After": "3"}), "no_transceiver", None),
        (ON_MODEL, (500, {}), "no_transceiver", None),
        (ON_CALL, (500, {}), "transceiver_unreachable", None),
    ],
)
async def test_faults_come_after_the_handshake(
    *,
    http: aiohttp.ClientSession,
    server: SignalingServer,
    api: Any,
    query: dict[str, str],
    refusal: tuple[int, dict[str, str]] | None,
    code: str,
    param: str | None,
) -> None:
    api.refusal = refusal
    async with opening(http, server, query) as socket:
        error, closed, reason = await fault(socket)
    assert (error["code"], closed, error["param"]) == (code, 4000, param)
    assert reason == f"{error['type']}.{code}"
    assert error["event_id"] is None
    assert error["message"]


async def test_a_transceiver_that_is_gone_is_told(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with serve((TARGET, f"http://127.0.0.1:{unused_tcp_port}")) as server:
        for query, code in ((ON_CALL, "transceiver_unreachable"), (ON_MODEL, "no_transceiver")):
            async with opening(http, server, query) as socket:
                error, closed, _ = await fault(socket)
            assert (error["code"], closed) == (code, 4000)


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "the call has ended", 1000),
        (4000, "invalid_request_error.session_expired", 4000),
        (1001, "", 1001),
        (1011, "broke", 1011),
    ],
)
async def test_an_end_of_the_service_is_passed_on(
    *,
    http: aiohttp.ClientSession,
    server: SignalingServer,
    api: Any,
    code: int,
    reason: str,
    told: int,
) -> None:
    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        await socket.send_str("the last words")
        await socket.close(code=code, message=reason.encode())

    api.talk = talk
    async with opening(http, server, ON_CALL) as socket:
        assert await socket.receive_str() == "the last words"
        closed = await socket.receive()
    assert (closed.type, closed.data, closed.extra) == (WSMsgType.CLOSE, told, reason)


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_an_end_of_the_client_is_passed_on(
    http: aiohttp.ClientSession, server: SignalingServer, api: Any, until: Until, way: str
) -> None:
    ends: list[int | None] = []
    begun = asyncio.Event()

    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        begun.set()
        closed = await socket.receive()
        ends.append(closed.data if closed.type is WSMsgType.CLOSE else None)

    api.talk = talk
    async with opening(http, server, ON_CALL) as socket:
        await begun.wait()
        if way == "close":
            await socket.close(code=4321, message=b"enough")
        else:
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
    await until(lambda: ends)
    assert ends == [4321 if way == "close" else 1000]


async def test_a_service_that_breaks_off_is_told_as_a_fault_of_the_server(
    http: aiohttp.ClientSession, server: SignalingServer, api: Any
) -> None:
    async def talk(request: web.Request, _: web.WebSocketResponse) -> None:
        assert request.transport is not None
        request.transport.close()

    api.talk = talk
    async with opening(http, server, ON_MODEL) as socket:
        closed = await socket.receive()
    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1011)


async def test_a_message_has_a_limit(
    http: aiohttp.ClientSession, server: SignalingServer, api: Any, until: Until
) -> None:
    came: list[int] = []
    ended = asyncio.Event()

    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            came.append(len(message.data))
        ended.set()

    api.talk = talk
    async with opening(http, server, ON_MODEL) as socket:
        await socket.send_str("x" * (MAX_MESSAGE - 1))
        await until(lambda: came)
        with contextlib.suppress(ConnectionError):  # it is not read to its end
            await socket.send_str("x" * (MAX_MESSAGE + 1))
        await ended.wait()
    assert came == [MAX_MESSAGE - 1]


async def test_whoever_takes_nothing_stops_the_other_side(
    http: aiohttp.ClientSession, server: SignalingServer, api: Any, until: Until
) -> None:
    """What is on its way then is bounded by the buffers of two connections, not by what is sent."""
    sent = 0

    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        nonlocal sent
        message = "x" * 100_000
        while True:
            await socket.send_str(message)
            sent += len(message)

    api.talk = talk
    async with opening(http, server, ON_MODEL) as socket:
        loop = asyncio.get_running_loop()
        last, since = -1, loop.time()

        def stands() -> bool:
            nonlocal last, since
            if sent != last:
                last, since = sent, loop.time()
            return loop.time() - since > 0.5

        await until(stands)
        assert 0 < sent < 64 << 20
        before = sent
        for _ in range(before // 100_000 + 10):
            await socket.receive_str()
        await until(lambda: sent > before)


async def test_a_websocket_outlives_the_time_of_a_request(
    http: aiohttp.ClientSession, server: SignalingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.httpedge.WHOLE_REQUEST", 0.3)
    loop = asyncio.get_running_loop()
    async with opening(http, server, ON_MODEL) as socket:
        end = loop.time() + 0.6
        while loop.time() < end:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await asyncio.sleep(0.02)


async def test_both_sides_are_pinged(
    http: aiohttp.ClientSession, serve: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.websockets.HEARTBEAT", 0.1)
    monkeypatch.setattr("signaling.control.HEARTBEAT", 0.1)
    pinged = asyncio.Event()

    async def talk(request: web.Request, socket: web.WebSocketResponse) -> None:
        assert request
        socket._autoping = False
        assert (await socket.receive()).type is WSMsgType.PING
        await socket.pong()
        pinged.set()
        socket._autoping = True
        await socket.receive()

    api.talk = talk
    async with (
        serve((TARGET, api.url)) as server,
        opening(http, server, ON_MODEL, autoping=False) as socket,
    ):
        assert (await socket.receive()).type is WSMsgType.PING
        await socket.pong()
        await pinged.wait()


async def test_a_client_that_answers_no_ping_is_let_go(
    http: aiohttp.ClientSession, serve: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.websockets.HEARTBEAT", 0.2)
    ended = asyncio.Event()

    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        await socket.receive()
        ended.set()

    api.talk = talk
    async with (
        serve((TARGET, api.url)) as server,
        opening(http, server, ON_MODEL, autoping=False),
    ):
        await ended.wait()


async def test_there_are_so_many_and_no_more(
    http: aiohttp.ClientSession,
    server: SignalingServer,
    monkeypatch: pytest.MonkeyPatch,
    until: Until,
) -> None:
    monkeypatch.setattr(websockets, "MAX_SOCKETS", 2)
    async with (
        opening(http, server, ON_MODEL),
        opening(http, server, ON_CALL),
        opening(http, server, ON_MODEL) as socket,
    ):
        assert (await fault(socket))[0]["code"] == "too_many_websockets"
    await until(lambda: len(server._sockets) == 0)
    async with opening(http, server, ON_MODEL) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def test_a_server_that_stops_says_goodbye_to_both_sides(
    http: aiohttp.ClientSession, serve: Any, api: Any, until: Until
) -> None:
    ends: list[int] = []

    async def talk(_: web.Request, socket: web.WebSocketResponse) -> None:
        closed = await socket.receive()
        ends.append(closed.data)

    api.talk = talk
    async with serve((TARGET, api.url)) as server:
        socket = await opening(http, server, ON_CALL)
        await until(lambda: len(server._sockets) == 1)
        reading = asyncio.create_task(socket.receive())
    closed = await reading
    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1001)
    await until(lambda: ends)
    assert ends == [1000]


async def test_a_session_goes_where_there_is_room(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    full = control(health={"sessions": 5, "capacity": 5, "draining": False})
    broken = control(refusal=(503, {}))
    async with (
        full.running() as one,
        broken.running() as two,
        control().running() as three,
        serve(
            *((Target(1, slot, 1), each.url) for slot, each in enumerate((one, two, three)))
        ) as server,
    ):
        for _ in range(6):
            async with opening(http, server, ON_MODEL) as socket:
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"


# --- before a real transceiver ---


async def events(socket: aiohttp.ClientWebSocketResponse, *kinds: str) -> list[dict[str, Any]]:
    """The next events, which must be of these kinds."""
    came = [json.loads(await socket.receive_str()) for _ in kinds]
    assert [each["type"] for each in came] == list(kinds)
    return came


UPDATE = '{"type": "session.update", "session": {"type": "realtime", "instructions": "hum"}}'


async def test_a_session_without_webrtc_is_the_transceivers(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    async with opening(http, real_server, {"model": "echo"}) as socket:
        await events(socket, "session.created")
        await socket.send_str(UPDATE)
        (updated,) = await events(socket, "session.updated")
        assert updated["session"]["instructions"] == "hum"


async def test_beside_a_call_are_its_events_until_it_ends(
    http: aiohttp.ClientSession, real_server: SignalingServer, offer: str
) -> None:
    location = await place(http, real_server, offer)
    query = {"call_id": location.rsplit("/", 1)[1]}
    async with opening(http, real_server, query) as socket, asyncio.timeout(LIMIT):
        await events(socket, "session.created")
        await socket.send_str(UPDATE)
        await events(socket, "session.updated")
        async with http.delete(real_server.url + location) as response:
            assert response.status == 200
        closed = await socket.receive()
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1000)
    async with opening(http, real_server, query) as socket:
        assert (await fault(socket))[0]["code"] == "call_id_not_found"


async def test_the_official_client_takes_part_and_its_headers_change_nothing(
    real_server: SignalingServer, offer: str
) -> None:
    sent = {
        "OpenAI-Beta": "realtime=v1",
        "OpenAI-Safety-Identifier": "hash",
        "X-OpenAI-Agents-SDK": "openai-agents-sdk.0.20",
    }
    base = real_server.url + "/v1"
    async with (
        AsyncOpenAI(api_key="any", base_url=base, default_headers=sent) as api,
        asyncio.timeout(LIMIT),
    ):
        api.websocket_base_url = base.replace("http", "ws")
        placed = await api.realtime.calls.create(sdp=offer, session={"type": "realtime"})
        call_id = placed.response.headers["Location"].rpartition("/")[2]
        for connecting in (
            api.realtime.connect(model="echo", extra_headers=sent),
            api.realtime.connect(call_id=call_id, extra_headers=sent),
        ):
            async with connecting as connection:
                assert (await connection.recv()).type == "session.created"
                await connection.session.update(session={"type": "realtime", "instructions": "hum"})
                assert (await connection.recv()).type == "session.updated"


# --- with keys ---


@pytest.fixture
async def keyed(serve: Any, api: Any, keys: Keys) -> AsyncIterator[SignalingServer]:
    keys.add("alice", models=("small",), quota=Quota(calls=1))
    async with serve((TARGET, api.url), keys_file=keys.path) as running:
        yield running


def protocols(key: str) -> tuple[str, ...]:
    return ("realtime", f"openai-insecure-api-key.{key}")


async def secret(http: aiohttp.ClientSession, server: SignalingServer, keys: Keys) -> str:
    """A client secret for a session with instructions."""
    session = {"type": "realtime", "model": "small", "instructions": "hum"}
    async with http.post(
        server.url + CLIENT_SECRETS,
        json={"session": session},
        headers=bearer(keys.texts["alice"]),
    ) as made:
        assert made.status == 200, await made.text()
        value: str = (await made.json())["value"]
        return value


async def test_a_client_secret_brings_its_session_and_is_none_for_calls(
    http: aiohttp.ClientSession, keyed: SignalingServer, api: Any, keys: Keys
) -> None:
    asked: list[str] = []

    async def talk(request: web.Request, socket: web.WebSocketResponse) -> None:
        asked.append(request.path_qs)
        asked.append(await socket.receive_str())

    api.talk = talk
    key = await secret(http, keyed, keys)
    async with opening(http, keyed, {"model": "any"}, protocols(key)) as socket:
        assert (await socket.receive()).type is WSMsgType.CLOSE
    path, first = asked
    assert path == "/v1/realtime?model=small&principal=alice"
    assert json.loads(first) == {
        "type": "session.update",
        "session": {"type": "realtime", "instructions": "hum"},
    }
    async with opening(http, keyed, ON_CALL, protocols(key)) as socket:
        assert (await fault(socket))[0]["code"] == "call_id_not_found"


@pytest.mark.parametrize(
    ("key", "model", "code", "close"),
    [
        ("sk-wrong", "small", "invalid_api_key", 3000),
        (None, "small", "invalid_api_key", 3000),
        ("alice", "large", "model_not_found", 3000),
    ],
)
async def test_who_may_not_is_told_so(
    *,
    http: aiohttp.ClientSession,
    keyed: SignalingServer,
    keys: Keys,
    key: str | None,
    model: str,
    code: str,
    close: int,
) -> None:
    sent = protocols(keys.texts.get(key, key)) if key else ("realtime",)
    async with opening(http, keyed, {"model": model}, sent) as socket:
        error, closed, _ = await fault(socket)
    assert (error["code"], closed) == (code, close)


async def test_a_session_counts_as_a_call_of_its_principal_at_every_server(
    *,
    http: aiohttp.ClientSession,
    serve: Any,
    transceiver: Transceiver,
    keys: Keys,
    offer: str,
) -> None:
    alice = keys.add("alice", quota=Quota(calls=3))
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    door = {"advertise": transceiver.address, "pool": SELDOM, "keys_file": keys.path}

    async def talking(server: SignalingServer) -> aiohttp.ClientWebSocketResponse:
        socket = await opening(http, server, ON_MODEL, headers=alice)
        assert json.loads(await socket.receive_str())["type"] == "session.created"
        return cast("aiohttp.ClientWebSocketResponse", socket)

    async def refusals(server: SignalingServer) -> list[str]:
        """What is said to a session, and to a call."""
        async with (
            opening(http, server, ON_MODEL, headers=alice) as socket,
            http.post(server.url + CALLS, data=offer, headers={**SDP, **alice}) as response,
        ):
            return [(await fault(socket))[0]["code"], (await response.json())["error"]["code"]]

    async with asyncio.timeout(LIMIT * 3), serve(controls, **door) as another:
        async with serve(controls, **door) as server:
            first, _ = await talking(server), await talking(server)
            await another._pool.members.refresh()  # as it does each second
            third = await talking(another)
            assert await refusals(another) == ["too_many_calls"] * 2
            await server._pool.members.refresh()
            assert await refusals(server) == ["too_many_calls"] * 2
            await first.close()
            await ended(http, transceiver, 2)
            await talking(server)  # it asks the transceiver again before it refuses anybody
        await third.close()
        await ended(http, transceiver, 0)
        await talking(another)


async def ended(http: aiohttp.ClientSession, transceiver: Transceiver, left: int) -> None:
    """Wait until a transceiver has so few sessions of a principal."""
    async with asyncio.timeout(LIMIT):
        while True:
            async with http.get(f"http://{transceiver.control}/v1/health") as response:
                if (await response.json())["principals"].get("alice", 0) == left:
                    return
