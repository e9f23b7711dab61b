"""The control API: what signaling sees when something is wrong, full or stopping."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.endpoint import Endpoint
from relay.wire.transport import MAX_CANDIDATES, Candidate
from transceiver.server import Transceiver

ADDRESS = Endpoint("203.0.113.10", 3478)
CANDIDATE = Candidate(ADDRESS).dump()

Caller = Callable[..., Any]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "invalid_json"),
        ({}, "invalid_candidates"),
        ({"sdp": "v=0"}, "invalid_candidates"),
        ({"sdp": "v=0", "candidates": []}, "invalid_candidates"),
        ({"sdp": "v=0", "candidates": "203.0.113.10:3478"}, "invalid_candidates"),
        ({"sdp": "v=0", "candidates": ["203.0.113.10:3478"]}, "invalid_candidates"),
        ({"sdp": "v=0", "candidates": [CANDIDATE | {"address": "host:1"}]}, "invalid_candidates"),
        ({"sdp": "v=0", "candidates": [CANDIDATE] * (MAX_CANDIDATES + 1)}, "invalid_candidates"),
        ({"sdp": 1, "candidates": [CANDIDATE]}, "invalid_sdp"),
        ({"sdp": "hello", "candidates": [CANDIDATE]}, "invalid_sdp"),
        ({"sdp": "v=0\r\n", "candidates": [CANDIDATE]}, "no_media"),
    ],
)
async def test_bad_requests_are_named(caller: Caller, body: object, code: str) -> None:
    status, reply = await caller().request("POST", "/v1/sessions", body)
    assert (status, reply["error"]["code"]) == (400, code)
    assert reply["error"]["message"]


async def test_a_body_that_is_not_json_is_named(transceiver: Transceiver) -> None:
    url = f"http://{transceiver.control}/v1/sessions"
    async with aiohttp.ClientSession() as http, http.post(url, data=b"\xff\xfe{") as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "invalid_json"


async def test_a_huge_body_is_refused(transceiver: Transceiver) -> None:
    url = f"http://{transceiver.control}/v1/sessions"
    async with aiohttp.ClientSession() as http, http.post(url, data=bytes(1 << 20)) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "http"


async def test_an_unknown_route_is_answered_in_json(caller: Caller) -> None:
    status, reply = await caller().request("GET", "/v2")
    assert (status, reply["error"]["code"]) == (404, "http")


@pytest.mark.parametrize("method_and_path", ["GET /x", "DELETE /x", "POST /x/offer"])
async def test_an_unknown_session_is_named(caller: Caller, method_and_path: str) -> None:
    method, path = method_and_path.split(" ")
    status, reply = await caller().request(method, f"/v1/sessions{path}", {"sdp": ""})
    assert (status, reply["error"]["code"]) == (404, "no_session")


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("a=sctp-port:5000", "a=sctp-port:many"),  # before aiortc has made a transport
        ("UDP/DTLS/SCTP", "DTLS/SCTP"),  # after
    ],
)
async def test_a_refused_offer_leaves_no_session(
    transceiver: Transceiver, caller: Caller, part: str, broken: str
) -> None:
    client = caller()
    with pytest.raises(AssertionError, match="invalid_sdp"):
        await client.call(ADDRESS, offer=lambda sdp: sdp.replace(part, broken))
    assert len(transceiver.sessions) == 0
    assert not transceiver.mux._by_ufrag


async def test_a_later_bad_offer_leaves_the_session_as_it_is(
    transceiver: Transceiver, caller: Caller, until: Caller
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    before = await client.stats()
    status, _ = await client.request("POST", f"/v1/sessions/{client.id}/offer", {"sdp": "v=0"})
    assert status == 400
    heard = len(client.loudness)
    await until(lambda: len(client.loudness) > heard + 10)
    assert (await client.stats())["ufrag"] == before["ufrag"]


async def test_a_full_transceiver_says_when_to_come_again(
    transceiver: Transceiver, caller: Caller
) -> None:
    calls = [caller() for _ in range(4)]
    for client in calls[:3]:
        await client.call(ADDRESS)
    assert await calls[0].request("GET", "/v1/health") == (
        200,
        {"sessions": 3, "capacity": 3, "draining": False},
    )
    offer = calls[0].pc.localDescription.sdp
    url = f"http://{transceiver.control}/v1/sessions"
    body = {"sdp": offer, "candidates": [CANDIDATE]}
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert (await response.json())["error"]["code"] == "full"
    _, listed = await calls[0].request("GET", "/v1/sessions")
    assert {stats["id"] for stats in listed["sessions"]} == {client.id for client in calls[:3]}
    await calls[1].request("DELETE", f"/v1/sessions/{calls[1].id}")
    await calls[3].call(ADDRESS)


async def test_a_stopping_transceiver_takes_no_sessions(
    transceiver: Transceiver, caller: Caller
) -> None:
    client = caller()
    transceiver.sessions.draining = True
    with pytest.raises(AssertionError, match="stopping"):
        await client.call(ADDRESS)
    _, health = await client.request("GET", "/v1/health")
    assert health["draining"] is True


async def test_counters_are_shown(transceiver: Transceiver, caller: Caller) -> None:
    transceiver.mux.receive(b"\xff", Endpoint("192.0.2.1", 1))
    _, shown = await caller().request("GET", "/v1/counters")
    assert shown["counters"] == {"sources": 0, "unknown_protocol": 1}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_a_mutated_offer_is_answered_or_refused_but_never_an_error_of_ours(
    caller: Caller, data: st.DataObject
) -> None:
    client = caller()
    await client.pc.setLocalDescription(await client.pc.createOffer())
    lines = client.pc.localDescription.sdp.split("\r\n")
    number = st.integers(0, 999)  # taken modulo lengths, as no two offers are equally long
    for _ in range(data.draw(st.integers(1, 3))):
        index = 1 + data.draw(number) % (len(lines) - 1)
        action = data.draw(st.sampled_from(["drop", "double", "cut", "insert"]))
        line = lines[index]
        cut = data.draw(number) % (len(line) + 1)
        text = data.draw(st.text(max_size=5))
        lines[index : index + 1] = {
            "drop": [],
            "double": [line, line],
            "cut": [line[:cut]],
            "insert": [line[:cut] + text + line[cut:]],
        }[action]
    body = {"sdp": "\r\n".join(lines), "candidates": [CANDIDATE]}
    status, reply = await client.request("POST", "/v1/sessions", body)
    assert status in (201, 400), reply
    if status == 201:
        await client.request("DELETE", f"/v1/sessions/{reply['id']}")
    await client.pc.close()
