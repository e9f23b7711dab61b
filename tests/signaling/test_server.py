import asyncio
import json
import re
from html.parser import HTMLParser
from random import Random
from typing import Any

import aiohttp
import pytest

from relay.config.registry import Registry, Relay
from relay.errors import BindError
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.callid import CALLS
from signaling.offer import MAX_BODY, MAX_SDP
from signaling.server import SignalingServer
from transceiver.server import Transceiver

SDP = {"Content-Type": "application/sdp"}
AUDIO = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


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
    assert len(transceiver.sessions) == 1

    async with http.post(real_server.url + location + "/hangup") as response:
        assert response.status == 200
        statistics = await response.json()
    assert statistics["id"] == location.rsplit("/", 1)[1]
    assert statistics["rtp"] == {"received": 0, "lost": 0, "sent": 0, "lost_by_client": None}
    assert not {"ufrag", "path"} & statistics.keys()
    assert len(transceiver.sessions) == 0

    async with http.post(real_server.url + location + "/hangup") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "call_not_found"


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    [
        ({"data": b"", "headers": SDP}, 400, "empty_offer", "sdp"),
        ({"data": b" \r\n", "headers": SDP}, 400, "empty_offer", "sdp"),
        ({"data": b"hello", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": b"\xff\xfe", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": AUDIO.encode() + b"\0", "headers": SDP}, 400, "invalid_offer", "sdp"),
        ({"data": "v=0\r\ns=-\r\n", "headers": SDP}, 400, "no_audio", "sdp"),
        ({"data": AUDIO}, 415, "unsupported_media_type", None),
        ({}, 415, "unsupported_media_type", None),
        ({"data": {"sdp": AUDIO}}, 415, "unsupported_media_type", None),
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
    assert len(transceiver.sessions) == 0


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
        assert api.offers == [{"sdp": AUDIO, "candidates": [Candidate(vip).dump()]}]


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


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", CALLS, 405, "method_not_allowed"),
        ("DELETE", CALLS, 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/favicon.ico", 404, "not_found"),
        ("POST", "/v1/realtime", 404, "not_found"),
        ("POST", CALLS + "/rtc_%2e%2e/hangup", 404, "call_not_found"),
        ("POST", CALLS + "/nonsense/hangup", 404, "call_not_found"),
    ],
)
async def test_wrong_ways_get_errors_of_the_same_form(
    *,
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    method: str,
    path: str,
    status: int,
    code: str,
) -> None:
    async with http.request(method, real_server.url + path) as response:
        assert response.status == status
        assert ("Allow" in response.headers) == (status == 405)
        assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize("path", [CALLS, CALLS + "/rtc_1-5-9-abc/hangup"])
async def test_pages_of_other_origins_may_call(
    http: aiohttp.ClientSession, real_server: SignalingServer, path: str
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with http.options(real_server.url + path, headers=asked) as response:
        assert response.status == 204
        allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"Authorization", "Content-Type", "X-OpenAI-Agents-SDK"} <= set(allowed)
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with http.post(real_server.url + path, data=b"", headers=SDP) as response:
        assert response.status >= 400
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Expose-Headers"] == "Location"


async def test_health_is_of_this_server_and_not_of_others(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with (
        serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server,
        http.get(server.url + "/healthz") as response,
    ):
        assert response.status == 200
        assert await response.json() == {
            "status": "ok",
            "transceivers": {"registered": 1, "reachable": 0, "with_room": 0},
        }


async def test_a_body_that_never_ends_is_given_up(
    real_server: SignalingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.server._BODY_TIMEOUT", 0.1)
    port = int(real_server.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {CALLS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\nv=0".encode())
    answer = await asyncio.wait_for(reader.readline(), 5)
    assert b" 408 " in answer
    writer.close()


class Resources(HTMLParser):
    """Collects what a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in {"src", "href"}]


async def test_the_page_is_served_whole(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    async with http.get(real_server.url) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        page = await response.text()
    resources = Resources()
    resources.feed(page)
    assert resources.found == ["data:,"]  # an empty icon, so that the browser asks for none
    assert f'"{CALLS}"' in page


async def test_a_taken_address_is_an_error_and_nothing_stays_behind(
    real_server: SignalingServer,
) -> None:
    taken = Endpoint.parse(real_server.url.removeprefix("http://"))
    before = asyncio.all_tasks()
    with pytest.raises(BindError, match=rf"{taken} for signaling: .* in use; another program"):
        async with SignalingServer(taken, Registry(()), random=Random(1)):
            pass
    assert asyncio.all_tasks() == before
