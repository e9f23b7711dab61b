import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from relay.config.registry import Relay
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.auth.apikeys import Quota
from signaling.callid import CALLS
from signaling.offer import MAX_BODY, MAX_SDP
from signaling.server import SignalingServer
from tests.signaling.conftest import AUDIO, SDP, SELDOM, Control, Keys, Serve, place
from tests.signaling.strangers import NO_BOUNDARY, TRAPS
from transceiver import control as control_api
from transceiver.admission import LEAST
from transceiver.server import Transceiver


def form(**fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, value)
    return data


@pytest.mark.parametrize("shape", ["sdp", "form", "json"])
async def test_a_call_is_answered_and_hung_up(
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    offer: str,
    shape: str,
) -> None:
    session = '{"type": "realtime", "model": "gpt-realtime"}'
    bodies: dict[str, dict[str, Any]] = {
        "sdp": {"data": offer, "headers": {"Content-Type": "application/sdp; charset=utf-8"}},
        "form": {"data": form(sdp=offer, session=session)},
        "json": {"json": {"sdp": offer, "session": json.loads(session)}},
    }
    async with http.post(real_server.url + CALLS, **bodies[shape]) as response:
        assert response.status == 201
        assert response.headers["Content-Type"] == "application/sdp"
        answer = await response.text()
        location = response.headers["Location"]
    assert f" {transceiver.address.host} {transceiver.address.port} typ host" in answer
    assert re.fullmatch(re.escape(CALLS) + r"/rtc_1-5-9-[\w-]+", location)
    assert len(transceiver.calls) == 1

    async with http.post(real_server.url + location + "/hangup") as response:
        assert response.status == 200
    assert len(transceiver.calls) == 0


async def test_what_an_offer_must_have_is_the_transceivers_word(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    """A call may have a data channel alone."""
    channel = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel.createDataChannel("oai-events")
    await channel.setLocalDescription(await channel.createOffer())
    offer = channel.localDescription.sdp
    await channel.close()
    async with http.post(real_server.url + CALLS, data=offer, headers=SDP) as response:
        assert response.status == 201, await response.text()
        assert "m=application" in await response.text()
    nothing = offer[: offer.index("m=application")]
    async with http.post(real_server.url + CALLS, data=nothing, headers=SDP) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "no_media"


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    [
        ({"data": b"", "headers": SDP}, 400, "empty_offer", "sdp"),
        ({"data": b" \r\n", "headers": SDP}, 400, "empty_offer", "sdp"),
        ({"data": b"hello", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": b"\xff\xfe", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": AUDIO.encode() + b"\0", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": AUDIO}, 415, "unsupported_media_type", None),
        ({}, 415, "unsupported_media_type", None),
        ({"data": {"sdp": AUDIO}}, 415, "unsupported_media_type", None),
        *(
            (
                {"data": AUDIO, "headers": {"Content-Type": trap}},
                415,
                "unsupported_media_type",
                None,
            )
            for trap in TRAPS
        ),
        ({"data": AUDIO, "headers": {"Content-Type": NO_BOUNDARY}}, 400, "invalid_form", None),
        ({"data": "v=0\n" + "a" * MAX_SDP, "headers": SDP}, 413, "offer_too_large", "sdp"),
        ({"data": b"x" * (MAX_BODY + 1), "headers": SDP}, 413, "body_too_large", None),
        ({"json": {"sdp": "x" * MAX_BODY}}, 413, "body_too_large", None),
        ({"json": {"session": {}}}, 400, "missing_offer", "sdp"),
        ({"json": {"sdp": 5}}, 400, "missing_offer", "sdp"),
        ({"json": {"sdp": "\ud800"}}, 400, "invalid_offer", "sdp"),
        ({"json": [AUDIO]}, 400, "invalid_json", None),
        ({"json": {"sdp": AUDIO, "session": "x"}}, 400, "invalid_session", "session"),
        (
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
            None,
        ),
        (
            {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
            None,
        ),
        ({"data": form(session="{}")}, 400, "missing_offer", "sdp"),
        ({"data": form(sdp="")}, 400, "empty_offer", "sdp"),
        ({"data": form(sdp=AUDIO, session="{")}, 400, "invalid_json", "session"),
        ({"data": form(sdp=AUDIO, session="[]")}, 400, "invalid_session", "session"),
        ({"data": form(sdp=AUDIO, other="x" * MAX_BODY)}, 413, "body_too_large", None),
        (
            {"data": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
            "invalid_form",
            None,
        ),
        (
            {"data": b"junk", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "invalid_form",
            None,
        ),
    ],
)
async def test_a_bad_request_gets_a_clear_answer(
    *,
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    request_: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    async with http.post(real_server.url + CALLS, **request_) as response:
        assert response.status == status
        assert response.content_type == "application/json"
        error = (await response.json())["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert len(transceiver.calls) == 0


async def test_the_transceivers_reason_for_refusing_an_offer_is_told(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    async with http.post(real_server.url + CALLS, data=AUDIO, headers=SDP) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert error["param"] == "sdp"
    assert error["message"]


async def test_without_a_transceiver_clients_are_asked_to_come_again(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    nobody = (Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")
    async with serve(nobody) as server:
        async with http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("server_error", "no_transceiver")
        async with http.post(server.url + CALLS + "/rtc_1-1-1-abc/hangup") as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "transceiver_unreachable"


async def test_every_relay_is_advertised(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    vip = Endpoint("2001:db8::10", 3478)
    async with (
        control().running() as api,
        serve((Target(1, 1, 1), api.url), advertise=vip) as server,
        http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response,
    ):
        assert response.status == 201
        (offered,) = api.offers
        del offered["keep"]
        told = [Candidate(vip).dump()]
        assert offered == {"sdp": AUDIO, "candidates": told, "client": "127.0.0.1"}


async def test_what_a_relay_behind_a_nat_advertises_stands_in_place_of_its_vip(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    public = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)
    relays = (
        Relay(Endpoint("10.0.0.5", 3478), public),
        Relay(Endpoint("10.0.0.6", 3478), public[:1]),  # another one behind the same address
        Relay(Endpoint("203.0.113.12", 3478)),
    )
    async with (
        control().running() as api,
        serve((Target(1, 1, 1), api.url), relays=relays) as server,
        http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response,
    ):
        assert response.status == 201
        (candidates,) = [each["candidates"] for each in api.offers]
    told = (*public, Endpoint("203.0.113.12", 3478))
    assert candidates == [Candidate(each).dump() for each in told]


async def test_where_clients_may_connect_over_tcp_comes_after_all_of_udp(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    first, second = Endpoint("203.0.113.10", 3478), Endpoint("203.0.113.12", 3478)
    relays = (Relay(first, tcp=(first, first._replace(port=443))), Relay(second))
    async with (
        control().running() as api,
        serve((Target(1, 1, 1), api.url), relays=relays) as server,
        http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response,
    ):
        assert response.status == 201
        (candidates,) = [each["candidates"] for each in api.offers]
    assert [(each["transport"], each["address"]) for each in candidates] == [
        ("udp", "203.0.113.10:3478"),
        ("udp", "203.0.113.12:3478"),
        ("tcp", "203.0.113.10:3478"),
        ("tcp", "203.0.113.10:443"),
    ]


async def test_a_body_that_never_ends_is_given_up(
    real_server: SignalingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.offer.BODY_TIMEOUT", 0.1)
    port = int(real_server.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {CALLS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\nv=0".encode())
    answer = asyncio.create_task(reader.readline())
    async with asyncio.timeout(5):
        while not (await asyncio.wait([answer], timeout=0.01))[0]:
            writer.write(b"a")  # it trickles
    assert b" 408 " in await answer
    writer.close()


async def test_refused_offers_take_nobodys_place(
    http: aiohttp.ClientSession,
    between_heartbeats: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    url = between_heartbeats.url + CALLS
    for _ in range(transceiver.config.capacity + 5):
        async with http.post(url, data=AUDIO, headers=SDP) as response:
            assert response.status == 400
    await place(http, between_heartbeats, offer)


async def test_calls_hung_up_take_nobodys_place(
    http: aiohttp.ClientSession,
    between_heartbeats: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    server = between_heartbeats
    for _ in range(transceiver.config.capacity + 3):
        async with http.post(server.url + await place(http, server, offer) + "/hangup") as ended:
            assert ended.status == 200
    # As many at once as one client may have, and then a place for each again.
    for _ in range(3):
        paths = await asyncio.gather(*(place(http, server, offer) for _ in range(LEAST)))
        await asyncio.gather(*(http.post(f"{server.url}{path}/hangup") for path in paths))
    assert transceiver.calls.load()["sessions"] == 0


async def test_ends_that_the_transceiver_alone_sees_are_seen_before_a_client_is_refused(
    http: aiohttp.ClientSession, serve: Any, offer: str, transceiver: Transceiver
) -> None:
    transceiver.calls.admission.capacity = 2
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(controls, advertise=transceiver.address, pool=SELDOM) as server:
        for _ in range(2):
            await place(http, server, offer)
        async with http.post(server.url + CALLS, data=offer, headers=SDP) as response:
            assert response.status == 503
        for session in transceiver.calls:
            session.end("consent lost")
        await place(http, server, offer)


async def test_a_client_that_only_fails_never_uses_the_capacity_of_others(
    http: aiohttp.ClientSession,
    between_heartbeats: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    url = between_heartbeats.url + CALLS
    greedy = {**SDP, "X-Forwarded-For": "203.0.113.66"}
    most = max(LEAST, transceiver.config.capacity // 4)
    for number in range(transceiver.config.capacity + 3):
        async with http.post(url, data=offer, headers=greedy) as response:
            # Later on it depends on how late those before are: one that is gives its place away.
            assert response.status in ({201} if number < LEAST else {201, 429})
        assert len(transceiver.calls) <= most
    assert len(transceiver.calls) >= LEAST
    honest = {**SDP, "X-Forwarded-For": "203.0.113.67"}
    async with http.post(url, data=offer, headers=honest) as response:
        assert response.status == 201


async def test_a_fault_of_ours_at_one_offer_is_told_counted_and_logged_once(
    http: aiohttp.ClientSession,
    between_heartbeats: SignalingServer,
    offer: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = between_heartbeats.url + CALLS

    def breaks(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr("transceiver.calls.Calls.create", breaks)
        for _ in range(3):
            async with http.post(url, data=offer, headers=SDP) as response:
                assert response.status == 500
                error = (await response.json())["error"]
            assert (error["type"], error["code"]) == ("server_error", "call_broke")
            assert "ZeroDivision" not in error["message"]
    await place(http, between_heartbeats, offer)
    told = [each for each in caplog.records if "ZeroDivisionError" in each.getMessage()]
    assert len(told) == 1
    assert not [each for each in caplog.records if each.exc_info]


async def test_a_channel_that_both_sides_know_of_is_open_at_once(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio")
    channel = peer.createDataChannel("any name", negotiated=True, id=4)
    said: asyncio.Queue[str] = asyncio.Queue()
    channel.on("message", said.put_nowait)
    await peer.setLocalDescription(await peer.createOffer())
    url, offer = f"{real_server.url}{CALLS}?dcid=4", peer.localDescription.sdp
    async with http.post(url, data=offer, headers=SDP) as response:
        assert response.status == 201
        await peer.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    async with asyncio.timeout(10):
        assert json.loads(await said.get())["type"] == "session.created"
    await peer.close()
    async with http.post(f"{real_server.url}{CALLS}?dcid=x", data=offer, headers=SDP) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_dcid")


@pytest.mark.parametrize("who", ["client", "signaling"])
async def test_whoever_goes_away_before_the_answer_leaves_nothing(
    between_heartbeats: SignalingServer,
    transceiver: Transceiver,
    offer: str,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    begun, read = asyncio.Event(), control_api._body

    async def slowly(request: web.Request) -> dict[str, Any]:
        body = await read(request)
        begun.set()
        await asyncio.sleep(0.1)
        return body

    monkeypatch.setattr(control_api, "_body", slowly)
    if who == "client":
        address, path, body = between_heartbeats.url.removeprefix("http://"), CALLS, offer
    else:
        told = [Candidate(transceiver.address).dump()]
        address, path = str(transceiver.control), "/v1/sessions"
        body = json.dumps({"sdp": offer, "candidates": told})
    host, port = address.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
    writer.write(f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode())
    async with asyncio.timeout(5):
        await begun.wait()
        writer.transport.abort()
        while transceiver.calls.load()["sessions"] or transceiver.mux._by_ufrag:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(transceiver.calls) == 0


async def test_session_model_and_principal_go_to_the_transceiver(
    http: aiohttp.ClientSession, serve: Any, control: Any, keys: Keys
) -> None:
    alice = keys.add("alice", models=("small", "large"))
    bodies: list[dict[str, Any]] = [
        {"data": AUDIO, "headers": {**SDP, **alice}},
        {"data": form(sdp=AUDIO, session='{"type": "realtime", "x": [1]}'), "headers": alice},
        {"json": {"sdp": AUDIO, "model": "large"}, "headers": alice},
        {"json": {"sdp": AUDIO, "session": {"model": "huge"}}, "headers": alice},
    ]
    statuses = []
    async with (
        control().running() as api,
        serve((Target(1, 1, 1), api.url), keys_file=keys.path) as server,
    ):
        for body in bodies:
            async with http.post(server.url + CALLS, **body) as response:
                statuses.append(response.status)
    assert statuses == [201, 201, 201, 403]
    told = [{name: each.get(name) for name in ("session", "model")} for each in api.offers]
    assert told == [
        {"session": None, "model": "small"},
        {"session": {"type": "realtime", "x": [1]}, "model": "small"},
        {"session": None, "model": "large"},
    ]
    assert {each["principal"] for each in api.offers} == {"alice"}


async def test_a_principal_has_as_many_calls_as_his_quota_and_another_one_when_one_ends(
    http: aiohttp.ClientSession, serve: Any, transceiver: Transceiver, offer: str, keys: Keys
) -> None:
    alice, bob = keys.add("alice", quota=Quota(calls=3)), keys.add("bob")
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    door = {"advertise": transceiver.address, "pool": SELDOM, "keys_file": keys.path}
    async with serve(controls, **door) as server, serve(controls, **door) as another:

        async def call(url: str, who: dict[str, str]) -> tuple[int, str]:
            async with http.post(url + CALLS, data=offer, headers={**SDP, **who}) as response:
                if response.status == 429:
                    error = (await response.json())["error"]
                    assert error["code"] == "too_many_calls"
                    assert response.headers["Retry-After"] == "1"
                return response.status, response.headers.get("Location", "")

        begun = await asyncio.gather(*(call(server.url, alice) for _ in range(6)))
        assert sorted(status for status, _ in begun) == [201] * 3 + [429] * 3
        assert (await call(server.url, bob))[0] == 201
        path = next(path for status, path in begun if status == 201)
        async with http.post(f"{server.url}{path}/hangup", headers=alice) as ended:
            assert ended.status == 200
        assert (await call(server.url, alice))[0] == 201
        next(iter(transceiver.calls)).end("consent lost")
        assert (await call(server.url, alice))[0] == 201
        assert (await call(server.url, alice))[0] == 429
        await another._pool.members.refresh()  # as it does each second
        assert (await call(another.url, alice))[0] == 429


async def test_a_call_tells_the_transceiver_names_and_its_client_a_token(
    http: aiohttp.ClientSession, serve: Serve, control: type[Control], keys: Keys
) -> None:
    alice, bob = keys.add("alice"), keys.add("bob")
    async with (
        control().running() as neighbour,
        serve((Target(1, 5, 9), neighbour.url), keys_file=keys.path) as server,
    ):

        async def call(key: dict[str, str], shown: str | None) -> str:
            headers = SDP | key | ({"Icelane-Resume": shown} if shown else {})
            async with http.post(server.url + CALLS, data=AUDIO, headers=headers) as response:
                assert response.status == 201, await response.text()
                assert "Icelane-Resume" in response.headers["Access-Control-Expose-Headers"]
                return response.headers["Icelane-Resume"]

        first = await call(alice, None)
        await call(alice, first)
        await call(bob, first)
    begun, resumed, stranger = neighbour.offers
    assert "resume" not in begun
    assert resumed["resume"] == begun["keep"]
    assert stranger["resume"] != begun["keep"], "another principal's is another name"
    assert first not in (begun["keep"], resumed["resume"])
    assert len({each["keep"] for each in neighbour.offers}) == 3


async def test_what_is_no_token_is_refused(
    http: aiohttp.ClientSession, real_server: SignalingServer, offer: str
) -> None:
    headers = SDP | {"Icelane-Resume": "guess"}
    async with http.post(real_server.url + CALLS, data=offer, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == "Icelane-Resume"
