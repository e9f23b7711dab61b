"""Who gets in, over real HTTP: what is refused costs nothing and tells why."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs, web

from relay.clocks import LEEWAY
from relay.config.privatefiles import write_private
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.answers import answer_errors
from signaling.auth.apikeys import Quota
from signaling.auth.clientsecret import ClientSecret, Signer
from signaling.auth.credentials import KEY_PROTOCOL
from signaling.auth.gate import Gate, caller_of
from signaling.auth.limits import CLIENT_BURST, Quotas
from signaling.auth.privatefiles import load_api_keys
from signaling.callid import CALLS
from signaling.client import Origin
from signaling.clientsecrets import CLIENT_SECRETS
from signaling.models import MODELS
from signaling.routes import Access, Route
from signaling.server import SignalingServer
from signaling.whip import WHIP
from tests.signaling.conftest import ANYWHERE, AUDIO, SDP, Keys, bearer, until
from transceiver.server import Transceiver

SECRET = b"5" * 64
TARGET = Target(1, 1, 1)


@pytest.fixture
async def api(control: Any) -> AsyncIterator[Any]:
    async with control().running() as running:
        yield running


@pytest.fixture
async def keyed(serve: Any, api: Any, keys: Keys, tmp_path: Path) -> AsyncIterator[SignalingServer]:
    write_private(tmp_path / "secret", SECRET)
    door = {"keys_file": keys.path, "secret_file": tmp_path / "secret"}
    async with serve((TARGET, api.url), **door) as server:
        yield server


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.config.watched.INTERVAL", 0.01)


def a_secret(principal: str | None = "alice", life: int = 60, **session: Any) -> str:
    expires = int(time.time()) + life
    return Signer([SECRET]).sign(ClientSecret(expires, principal, session), b"n" * 12)


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str]:
    error = (await response.json())["error"]
    assert error["type"] == "invalid_request_error"
    return response.status, error["code"]


async def test_without_a_key_nothing_begins(
    http: aiohttp.ClientSession, keyed: SignalingServer, api: Any, keys: Keys
) -> None:
    keys.add("alice")
    for headers in ({}, bearer("sk-icelane-x"), bearer(""), {"api-key": "x"}):
        for path in (CALLS, CALLS + "/rtc_1-1-1-abc/hangup", CLIENT_SECRETS):
            async with http.post(
                keyed.url + path, data=AUDIO, headers={**SDP, **headers}
            ) as response:
                assert await refusal(response) == (401, "invalid_api_key")
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="icelane"'
    assert (api.offers, api.ended) == ([], [])


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
async def test_a_key_lets_its_principal_in(
    http: aiohttp.ClientSession, serve: Any, api: Any, keys: Keys, header: str
) -> None:
    keys.add("alice")
    value = f"Bearer {keys.texts['alice']}" if header == "Authorization" else keys.texts["alice"]
    async with (
        serve((TARGET, api.url), keys_file=keys.path) as server,
        http.post(server.url + CALLS, data=AUDIO, headers={**SDP, header: value}) as response,
    ):
        assert response.status == 201
    assert [each["principal"] for each in api.offers] == ["alice"]


async def test_a_key_in_a_url_counts_for_websockets_only(
    http: aiohttp.ClientSession, keyed: SignalingServer, keys: Keys
) -> None:
    keys.add("alice")
    url = f"{keyed.url}{CALLS}?api_key={keys.texts['alice']}"
    async with http.post(url, data=AUDIO, headers=SDP) as response:
        assert await refusal(response) == (401, "invalid_api_key")


async def test_keys_come_and_go_without_a_restart(
    http: aiohttp.ClientSession,
    keyed: SignalingServer,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def status(headers: dict[str, str]) -> int:
        async with http.post(keyed.url + CALLS, data=AUDIO, headers={**SDP, **headers}) as response:
            return response.status

    async def becomes(headers: dict[str, str], wanted: int) -> None:
        async with asyncio.timeout(10):
            while await status(headers) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    alice = keys.add("alice")
    await becomes(alice, 201)
    holder = bearer(a_secret("alice"))
    assert await status(holder) == 201
    keys.path.chmod(0o644)
    await until(lambda: "others can read" in caplog.text)
    keys.path.chmod(0o600)
    content = keys.path.read_bytes()
    write_private(keys.path, b"[[key")
    await until(lambda: "is not valid TOML" in caplog.text)
    assert "what was there before stays in force" in caplog.text
    assert await status(alice) == 201
    write_private(keys.path, content)
    keys.revoke("alice")
    await becomes(alice, 401)
    assert await status(holder) == 401


async def test_a_key_that_has_expired_is_refused(
    http: aiohttp.ClientSession, serve: Any, api: Any, keys: Keys
) -> None:
    alice = keys.add("alice", expires=datetime.now(UTC) + timedelta(seconds=30))
    now = time.time() + 60
    holder = bearer(a_secret("alice", life=120))
    async with serve((TARGET, api.url), keys_file=keys.path) as server:
        server._gate._wall = lambda: now
        server._own_signer = Signer([SECRET])
        for headers in (alice, holder):
            async with http.post(
                server.url + CALLS, data=AUDIO, headers={**SDP, **headers}
            ) as response:
                assert await refusal(response) == (401, "invalid_api_key")
                message = (await response.json())["error"]["message"]
                assert "has expired" in message or "no longer valid" in message


async def test_a_client_secret_stands_for_its_session_until_it_expires(
    http: aiohttp.ClientSession, keyed: SignalingServer, api: Any, keys: Keys
) -> None:
    keys.add("alice")
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    good = a_secret(type="realtime", model="own", instructions="Be brief.")
    for _ in range(3):
        async with http.post(
            f"{keyed.url}{CALLS}?model=gpt-realtime", data=AUDIO, headers={**SDP, **bearer(good)}
        ) as response:
            assert response.status == 201
    session = {"type": "realtime", "model": "own", "instructions": "Be brief."}
    told = [(each["session"], each["model"], each["principal"]) for each in api.offers]
    assert told == [(session, "own", "alice")] * 3
    for bad in (
        a_secret(life=-round(LEEWAY) - 1),
        a_secret("nobody"),
        a_secret(None),
        good[:-1],
        "ek_",
        "ek_x",
    ):
        async with http.post(
            keyed.url + CALLS, data=AUDIO, headers={**SDP, **bearer(bad)}
        ) as response:
            assert await refusal(response) == (401, "invalid_api_key")
    assert len(api.offers) == 3


async def test_a_client_secret_makes_no_other_one(
    http: aiohttp.ClientSession, keyed: SignalingServer, keys: Keys
) -> None:
    keys.add("alice")
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    async with http.post(
        keyed.url + CLIENT_SECRETS, json={}, headers=bearer(a_secret())
    ) as response:
        assert await refusal(response) == (403, "insufficient_permissions")


async def test_an_open_instance_takes_any_key_but_no_false_secret(
    http: aiohttp.ClientSession, serve: Any, api: Any
) -> None:
    async with serve((TARGET, api.url)) as server:
        for headers in ({}, bearer("anything"), {"api-key": "x"}):
            async with http.post(
                server.url + CALLS, data=AUDIO, headers={**SDP, **headers}
            ) as response:
                assert response.status == 201
        async with http.post(server.url + CLIENT_SECRETS, json={}) as response:
            value = (await response.json())["value"]
        for secret, status in ((value, 201), (a_secret(None), 401)):
            async with http.post(
                server.url + CALLS, data=AUDIO, headers={**SDP, **bearer(secret)}
            ) as response:
                assert response.status == status
    assert "principal" not in api.offers[0]


async def test_a_key_is_asked_for_before_the_body_is_read(keyed: SignalingServer) -> None:
    address = Endpoint.parse(keyed.url.removeprefix("http://"))
    reader, writer = await asyncio.open_connection(*address)
    head = f"POST {CALLS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\nv=0".encode())
    async with asyncio.timeout(5):
        assert b" 401 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("known", [True, False])
async def test_who_asks_before_he_sends_his_body_hears_of_it_first(
    keyed: SignalingServer, keys: Keys, known: bool
) -> None:
    key = keys.add("alice")["Authorization"]
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    reader, writer = await asyncio.open_connection(
        *Endpoint.parse(keyed.url.removeprefix("http://"))
    )
    head = f"POST {CALLS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
    head += f"Expect: 100-continue\r\nContent-Length: {len(AUDIO)}\r\n"
    writer.write(f"{head}{f'Authorization: {key}' if known else 'X: y'}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        if not known:
            assert b" 401 " in await reader.readline()
        else:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(AUDIO.encode())
            assert b" 201 " in await reader.readline()
    writer.close()


async def test_a_client_of_http_1_0_is_not_told_to_go_on(
    keyed: SignalingServer, keys: Keys
) -> None:
    key = keys.add("alice")["Authorization"]
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    reader, writer = await asyncio.open_connection(
        *Endpoint.parse(keyed.url.removeprefix("http://"))
    )
    head = f"POST {CALLS} HTTP/1.0\r\nContent-Type: application/sdp\r\nAuthorization: {key}\r\n"
    head += f"Expect: 100-continue\r\nContent-Length: {len(AUDIO)}\r\n\r\n"
    writer.write(f"{head}{AUDIO}".encode())
    async with asyncio.timeout(5):
        assert b" 201 " in await reader.readline()
    writer.close()


async def test_set_ups_beyond_the_quota_are_refused_unread(
    http: aiohttp.ClientSession, serve: Any, api: Any, keys: Keys
) -> None:
    slow, quick = keys.add("slow", quota=Quota(setups=0.01)), keys.add("quick")
    async with serve((TARGET, api.url), keys_file=keys.path) as server:
        url, statuses = server.url + CALLS, []
        for headers in (slow, slow, quick, quick):
            async with http.post(url, data=AUDIO, headers={**SDP, **headers}) as response:
                statuses.append(response.status)
                if response.status == 429:
                    error = (await response.json())["error"]
                    assert error["type"] == "rate_limit_error"
                    assert error["code"] == "rate_limit_exceeded"
                    assert 90 < int(response.headers["Retry-After"]) <= 100
    assert statuses == [201, 429, 201, 201]
    assert len(api.offers) == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", CLIENT_SECRETS, 200),
        ("POST", CALLS, 201),
        ("POST", CALLS + "/rtc_1-1-1-abc/hangup", 200),
        ("DELETE", CALLS + "/rtc_1-1-1-abc", 200),
        ("DELETE", WHIP + "/rtc_1-1-1-abc", 200),
        ("GET", MODELS, 200),
    ],
)
async def test_requests_of_any_kind_have_a_quota_a_second(
    *,
    http: aiohttp.ClientSession,
    serve: Any,
    api: Any,
    keys: Keys,
    method: str,
    path: str,
    status: int,
) -> None:
    slow, quick = keys.add("slow", quota=Quota(requests=0.01)), keys.add("quick")
    body = AUDIO if path == CALLS else None
    statuses = []
    async with serve((TARGET, api.url), keys_file=keys.path) as server:
        for headers in (slow, slow, quick, quick):
            async with http.request(
                method, server.url + path, data=body, headers={**SDP, **headers}
            ) as response:
                statuses.append(response.status)
                if response.status == 429:
                    error = (await response.json())["error"]
                    assert error["code"] == "rate_limit_exceeded"
                    assert "requests may be made a second" in error["message"]
                    assert 90 < int(response.headers["Retry-After"]) <= 100
        holder = bearer(server._signer().sign(ClientSecret(1 << 40, "slow", {}), b"n" * 12))
        async with http.get(server.url + MODELS, headers=holder) as response:
            assert response.status == 429, "who has a secret of a principal counts as it"
    assert statuses == [status, 429, status, status]


async def test_websockets_count_as_requests(
    http: aiohttp.ClientSession, serve: Any, api: Any, keys: Keys
) -> None:
    slow = keys.add("slow", quota=Quota(requests=0.01))
    async with serve((TARGET, api.url), keys_file=keys.path) as server:
        url, begun = server.url + "/v1/realtime", []
        for query in ({"model": "x"}, {"model": "x"}, {"call_id": "rtc_1-1-1-abc"}):
            async with http.ws_connect(url, params=query, headers=slow) as socket:
                await socket.send_str("{}")
                begun.append((await socket.receive_json()).get("error", {}).get("code"))
    assert begun == [None, "rate_limit_exceeded", "rate_limit_exceeded"]


async def test_who_only_fails_is_not_listened_to_and_a_key_always_is(
    http: aiohttp.ClientSession, keyed: SignalingServer, keys: Keys
) -> None:
    alice = keys.add("alice")
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    statuses = []
    for _ in range(int(CLIENT_BURST) * 2):
        async with http.post(
            keyed.url + CALLS, data=AUDIO, headers={**SDP, **bearer("x")}
        ) as response:
            statuses.append(response.status)
    assert set(statuses) == {401, 429}
    assert int(response.headers["Retry-After"]) >= 1
    async with http.post(keyed.url + CALLS, data=AUDIO, headers={**SDP, **alice}) as response:
        assert response.status == 201


@pytest.mark.parametrize("open_", [False, True], ids=["keyed", "open"])
async def test_200_bad_requests_a_second_do_not_keep_20_calls_from_being_set_up(
    *,
    http: aiohttp.ClientSession,
    serve: Any,
    transceiver: Transceiver,
    offer: str,
    keys: Keys,
    open_: bool,
) -> None:
    alice, done = keys.add("alice"), asyncio.Event()
    statuses: list[int] = []
    paths: set[str] = set()
    transceiver.calls.admission.capacity = 40  # no call here is ever connected
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    door = {} if open_ else {"keys_file": keys.path}
    async with serve(controls, advertise=transceiver.address, **door) as server:
        running = asyncio.Semaphore(100)  # a flood that nobody answers waits, and takes no more

        async def rubbish(others: aiohttp.ClientSession, number: int) -> None:
            bodies = [b"", b"v=0\r\n", b"junk" if open_ else offer.encode(), b"x" * 100_000]
            kinds = [{}, bearer("sk-icelane-no"), bearer("ek_no"), {"api-key": "x"}]
            headers = {**SDP, **kinds[number % 4], "X-Forwarded-For": "198.51.100.66"}
            async with others.post(
                server.url + CALLS, data=bodies[number // 4 % 4], headers=headers
            ) as response:
                statuses.append(response.status)
            running.release()

        async def flood() -> None:
            async with aiohttp.ClientSession() as others, asyncio.TaskGroup() as sending:
                number = 0
                while not (done.is_set() and number >= 400):
                    await running.acquire()
                    sending.create_task(rubbish(others, number))
                    number += 1
                    await asyncio.sleep(1 / 200)

        async def set_up() -> None:
            await until(lambda: len(statuses) >= 100)
            for number in range(20):
                own = {**SDP, **alice, "X-Forwarded-For": f"203.0.113.{number}"}
                async with http.post(server.url + CALLS, data=offer, headers=own) as response:
                    assert response.status == 201
                    paths.add(response.headers["Location"])
            done.set()

        await asyncio.gather(flood(), set_up())
    assert len(paths) == 20
    # On an open instance rubbish is read, until too much of it has come.
    assert {400 if open_ else 401, 429} <= set(statuses)
    assert set(statuses) <= ({400, 401, 413, 429} if open_ else {401, 429})


async def test_no_log_has_a_key_or_a_secret(
    http: aiohttp.ClientSession,
    keyed: SignalingServer,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    alice = keys.add("alice")
    await until(lambda: len(keyed._api_keys() or ()) == 1)
    async with http.post(keyed.url + CLIENT_SECRETS, json={}, headers=alice) as response:
        secret = (await response.json())["value"]
    told = {"known": keys.texts["alice"], "secret": secret, "unknown": "sk-icelane-unknown"}
    for key in told.values():
        path = f"{keyed.url}{CALLS}?api_key={key}"
        for headers in (bearer(key), {"api-key": key}, {"Sec-WebSocket-Protocol": key}):
            async with http.post(path, data=AUDIO, headers={**SDP, **headers}):
                pass
            async with http.post(path, data=b"junk", headers={**SDP, **headers}):
                pass
    assert "call rtc_1-1-1-abc of alice placed" in caplog.text
    for each in caplog.records:
        said = each.getMessage() + str(each.exc_info or "")
        assert not [key for key in told.values() if key in said]


class TestWebSockets:
    """What a browser sees of a refusal: the handshake is answered, then comes an event."""

    @asynccontextmanager
    async def serving(self, keys: Keys) -> AsyncIterator[str]:
        async def talk(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(protocols=("realtime",))
            await socket.prepare(request)
            await socket.send_json({"principal": caller_of(request).principal})
            await socket.close()
            return socket

        api_keys = load_api_keys(keys.path)
        gate = Gate(lambda: api_keys, lambda: Signer([SECRET]), lambda _: Origin("x"), Quotas())
        application = web.Application(middlewares=[answer_errors])
        route = Route(hdrs.METH_GET, "/v1/realtime", talk, Access.CALLER)
        application.router.add_route(route.method, route.path, gate.guard(route))
        async with serve_http(application, ANYWHERE, "a test") as address:
            yield f"http://{address}/v1/realtime"

    @pytest.mark.parametrize("way", ["header", "query", "protocol"])
    async def test_a_key_arrives_in_each_way_and_is_never_answered(
        self, http: aiohttp.ClientSession, keys: Keys, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        headers, key = keys.add("alice"), keys.texts["alice"]
        ways: dict[str, dict[str, Any]] = {
            "header": {"headers": headers},
            "query": {"params": {"api_key": key}},
            "protocol": {"protocols": ("realtime", KEY_PROTOCOL + key)},
        }
        async with self.serving(keys) as url, http.ws_connect(url, **ways[way]) as socket:
            assert socket.protocol == ("realtime" if way == "protocol" else None)
            assert await socket.receive_json() == {"principal": "alice"}
        assert key not in caplog.text

    @pytest.mark.parametrize(
        "protocols", [(), ("realtime", KEY_PROTOCOL + "x"), (KEY_PROTOCOL + "x",)]
    )
    async def test_who_has_none_is_told_in_an_event(
        self,
        http: aiohttp.ClientSession,
        keys: Keys,
        protocols: tuple[str, ...],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async with (
            self.serving(keys) as url,
            http.ws_connect(url, protocols=protocols) as socket,
        ):
            event = await socket.receive_json()
            assert event["type"] == "error"
            assert event["event_id"]
            assert event["error"]["code"] == "invalid_api_key"
            assert event["error"]["event_id"] is None
            ending = await socket.receive()
            assert ending.type is aiohttp.WSMsgType.CLOSE
            assert ending.data == 3000
            assert ending.extra == "invalid_request_error.invalid_api_key"
        assert KEY_PROTOCOL not in caplog.text

    async def test_a_plain_request_gets_a_plain_answer(
        self, http: aiohttp.ClientSession, keys: Keys
    ) -> None:
        async with self.serving(keys) as url, http.get(url) as response:
            assert response.status == 401
            json.loads(await response.text())
