"""The control API: what signaling sees when something is wrong, full or stopping."""

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.transport import MAX_CANDIDATES, Candidate
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone
from transceiver.backlog import INTERVAL
from transceiver.bridge.table import Service, Table
from transceiver.server import Transceiver, TransceiverConfig

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
        ({"sdp": "v=0", "candidates": [CANDIDATE], "principal": 1}, "invalid_principal"),
        ({"sdp": "v=0", "candidates": [CANDIDATE], "principal": "x" * 257}, "invalid_principal"),
        ({"sdp": "hello", "candidates": [CANDIDATE]}, "invalid_sdp"),
        ({"sdp": "v=0\r\n", "candidates": [CANDIDATE]}, "no_media"),
    ],
)
async def test_bad_requests_are_named(caller: Caller, body: object, code: str) -> None:
    status, reply = await caller().request("POST", "/v1/sessions", body)
    assert (status, reply["error"]["code"]) == (400, code)
    assert reply["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session", []),
        ("session", "x"),
        ("model", 1),
        ("model", "x" * 300),
        ("principal", {}),
        ("principal", "x" * 300),
        ("region", 1),
        ("region", "x" * 300),
    ],
)
async def test_what_a_client_wants_of_a_back_end_is_checked(
    caller: Caller, field: str, value: object
) -> None:
    body = {"sdp": "v=0", "candidates": [CANDIDATE], field: value}
    status, reply = await caller().request("POST", "/v1/sessions", body)
    assert (status, reply["error"]["code"]) == (400, f"invalid_{field}")


async def test_a_model_that_nobody_has_is_refused_and_takes_no_place(
    keys: KeyRing, target: Target, dial: Caller
) -> None:
    table = Table((Service("mine", None, models=("m",)),))
    anywhere = Endpoint("127.0.0.1", 0)
    config = TransceiverConfig(anywhere, anywhere, target, keys, table=table)
    async with Transceiver(config) as transceiver:
        client = dial(transceiver.control)
        with pytest.raises(AssertionError, match="no model 'n' here: known are m"):
            await client.call(ADDRESS, session={"model": "n"})
        assert transceiver.calls.load()["sessions"] == 0
        await dial(transceiver.control).call(ADDRESS, model="m", session=None, principal=None)


async def test_the_echos_session_begins_as_the_client_wants_it(
    transceiver: Transceiver, caller: Caller, until: Caller
) -> None:
    client = caller()
    await client.call(transceiver.address, session={"voice": "marin"})
    await until(lambda: client.messages)
    assert json.loads(client.messages[0])["session"]["voice"] == "marin"


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


@pytest.mark.parametrize(
    "method_and_path", ["GET /x", "DELETE /x", "POST /x/offer", "POST /x/restart"]
)
async def test_an_unknown_session_is_named(caller: Caller, method_and_path: str) -> None:
    method, path = method_and_path.split(" ")
    status, reply = await caller().request(method, f"/v1/sessions{path}", {"sdp": ""})
    assert (status, reply["error"]["code"]) == (404, "no_session")


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("a=sctp-port:5000", "a=sctp-port:many"),
        ("a=fingerprint:", "a=thumbprint:"),
    ],
)
async def test_a_refused_offer_leaves_no_session(
    transceiver: Transceiver, caller: Caller, part: str, broken: str
) -> None:
    client = caller()
    with pytest.raises(AssertionError, match="invalid_sdp"):
        await client.call(ADDRESS, offer=lambda sdp: sdp.replace(part, broken))
    assert len(transceiver.calls) == 0
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


CREDENTIALS = {"ufrag": "newUFRAG", "password": "new+password+of+the+client"}


async def test_ice_is_restarted_without_an_offer_and_the_audio_goes_on(
    transceiver: Transceiver, until: Caller
) -> None:
    """The client of the lab: aiortc knows no restart."""
    client = ThinClient(new_identity(), Random(1))
    async with aiohttp.ClientSession(f"http://{transceiver.control}") as http:
        body = {"sdp": client.offer, "candidates": [Candidate(transceiver.address).dump()]}
        async with http.post("/v1/sessions", json=body) as response:
            made = await response.json()
        await client.connect(made["sdp"])
        path = f"/v1/sessions/{made['id']}/restart"
        async with http.post(path, json={"match": None} | CREDENTIALS) as response:
            assert response.status == 200
            told = await response.json()
    assert f"a=ice-ufrag:{told['ice_session']}\r\n" in told["fragment"]
    client.restart(told["fragment"])
    await client.check()
    (call,) = transceiver.calls
    assert call.ice_session == told["ice_session"]
    before = client.heard.rtp
    for payload in tone()[:50]:
        client.speak(payload)
    await until(lambda: client.heard.rtp > before)
    client.close(goodbye=True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"match": ["another"]} | CREDENTIALS, 412, "stale"),
        ({"match": []}, 412, "stale"),
        ({"match": "text"}, 400, "invalid_match"),
        ({"match": [1]}, 400, "invalid_match"),
        ({"ufrag": "abcd"}, 400, "invalid_credentials"),
        ({"ufrag": "abcd", "password": 5}, 400, "invalid_credentials"),
        ({"ufrag": "a", "password": "b"}, 400, "invalid_sdp"),
    ],
)
async def test_a_restart_that_cannot_be_is_named(
    transceiver: Transceiver, caller: Caller, body: object, status: int, code: str
) -> None:
    client = caller()
    await client.call(transceiver.address)
    before = (await client.stats())["ufrag"]
    got, reply = await client.request("POST", f"/v1/sessions/{client.id}/restart", body)
    assert (got, reply["error"]["code"]) == (status, code)
    assert (await client.stats())["ufrag"] == before


async def test_without_credentials_only_the_match_counts(
    transceiver: Transceiver, caller: Caller
) -> None:
    client = caller()
    await client.call(transceiver.address)
    ufrag = (await client.stats())["ufrag"]
    for match in (None, [ufrag], ["another", ufrag]):
        path = f"/v1/sessions/{client.id}/restart"
        status, reply = await client.request("POST", path, {"match": match})
        assert (status, reply["fragment"], reply["ice_session"]) == (200, None, ufrag)


async def test_a_full_transceiver_says_when_to_come_again(
    transceiver: Transceiver, caller: Caller
) -> None:
    calls = [caller() for _ in range(4)]
    for client in calls[:3]:
        await client.call(ADDRESS)
    assert await calls[0].request("GET", "/v1/health") == (
        200,
        {
            "sessions": 3,
            "capacity": 3,
            "draining": False,
            "behind": False,
            "principals": {},
            "failing": [],
        },
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
    transceiver.calls.admission.draining = True
    with pytest.raises(AssertionError, match="stopping"):
        await client.call(ADDRESS)
    _, health = await client.request("GET", "/v1/health")
    assert health["draining"] is True


def read_late(transceiver: Transceiver, now: float) -> None:
    transceiver.mux.backlog.note(1.5, 64, now)


def speak_late(transceiver: Transceiver, now: float) -> None:
    transceiver.calls.clock.served(1.5, now)


@pytest.mark.parametrize("late", [read_late, speak_late])
async def test_one_that_is_behind_takes_no_sessions_and_tells_why(
    late: Callable[[Transceiver, float], None],
    transceiver: Transceiver,
    caller: Caller,
    until: Callable[[Callable[[], Any]], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    there, client = caller(), caller()
    await there.call(ADDRESS)
    now = transceiver.mux.clock()
    for at in (now - 1.2 * INTERVAL, now - 0.6 * INTERVAL, now):
        late(transceiver, at)
    with pytest.raises(AssertionError, match="behind"):
        await client.call(ADDRESS)
    _, health = await client.request("GET", "/v1/health")
    assert (health["behind"], health["draining"], health["sessions"]) == (True, False, 1)
    base = f"http://{transceiver.control}"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{base}/readyz") as response:
            assert response.status == 503
            assert "behind" in await response.text()
        async with http.get(f"{base}/metrics") as response:
            assert "icelane_transceiver_behind 1" in await response.text()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{base}/v1/realtime")
        assert refused.value.status == 503
    await until(lambda: "is 1500 ms behind" in caplog.text)


async def test_one_that_drains_is_not_ready(transceiver: Transceiver) -> None:
    ready = f"http://{transceiver.control}/readyz"
    async with aiohttp.ClientSession() as http:
        async with http.get(ready) as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        transceiver.calls.admission.draining = True
        async with http.get(ready) as response:
            assert (response.status, await response.text()) == (
                503,
                "the transceiver is stopping\n",
            )


async def test_counters_are_shown(transceiver: Transceiver, caller: Caller) -> None:
    transceiver.mux.receive(b"\xff", Endpoint("192.0.2.1", 1))
    _, shown = await caller().request("GET", "/v1/counters")
    assert shown["counters"].pop("tasks") > 0
    assert shown["counters"] == {"sources": 0, "turns_skipped": 0, "unknown_protocol": 1}


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
