"""WHIP and WHEP over HTTP, by the sections of RFC 9725, before a real transceiver."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import aiohttp
import pytest

from relay.wire.route import Target
from signaling.auth.apikeys import Quota
from signaling.callid import CALLS
from signaling.server import SignalingServer
from signaling.whip import WHEP, WHIP
from signaling.whipconfig import IceServer, WhipConfig
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone
from tests.signaling.conftest import AUDIO, SDP, Keys
from tests.signaling.strangers import NO_BOUNDARY, TRAPS
from tests.transceiver.conftest import until
from transceiver.server import Transceiver

__all__ = ["until"]  # a fixture

FRAGMENT = "application/trickle-ice-sdpfrag"
CANDIDATE = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n"
RESTART = "a=ice-ufrag:newUFRAG\r\na=ice-pwd:new+password+of+the+client\r\n" + CANDIDATE

Until = Callable[[Callable[[], Any]], Awaitable[None]]


def patching(match: str | None, kind: str = FRAGMENT) -> dict[str, str]:
    return {"Content-Type": kind} | ({"If-Match": match} if match is not None else {})


class Session:
    """What a client learns of its session, and the client."""

    def __init__(self, http: aiohttp.ClientSession, server: SignalingServer) -> None:
        self.http = http
        self.server = server
        self.client = ThinClient(new_identity(), Random(1))
        self.answer = self.url = self.etag = ""

    async def offer(self, path: str = WHIP, direction: str = "sendonly") -> None:
        offer = self.client.offer.replace("a=sendrecv", f"a={direction}")
        url = self.server.url + path
        async with self.http.post(url, data=offer, headers=SDP) as response:
            assert response.status == 201, await response.text()
            assert response.headers["Content-Type"] == "application/sdp"
            assert response.headers["Accept-Patch"] == FRAGMENT
            assert response.headers["Location"].startswith(f"{path}/rtc_")
            self.answer = await response.text()
            self.url = self.server.url + response.headers["Location"]
            self.etag = response.headers["ETag"]

    async def patch(
        self, body: str, match: str | None, kind: str = FRAGMENT
    ) -> tuple[int, str, str | None]:
        """Status, body or the error's code, and ETag."""
        headers = patching(match, kind)
        async with self.http.patch(self.url, data=body, headers=headers) as response:
            etag = response.headers.get("ETag")
            if response.status < 300:
                return response.status, await response.text(), etag
            return response.status, (await response.json())["error"]["code"], etag


@pytest.fixture
def session(http: aiohttp.ClientSession, real_server: SignalingServer) -> Session:
    return Session(http, real_server)


async def test_a_publisher_is_heard_and_deletes_its_session(
    session: Session, transceiver: Transceiver, until: Until
) -> None:
    await session.offer()
    assert "a=recvonly" in session.answer
    assert f'"{session.answer.split("a=ice-ufrag:")[1].split()[0]}"' == session.etag
    client = session.client
    await client.connect(session.answer)
    (call,) = transceiver.calls
    for payload in tone()[:20]:
        client.speak(payload)
    await until(lambda: call.stats()["rtp"]["received"] == 20)
    async with session.http.delete(session.url, headers={"If-Match": '"stale"'}) as response:
        assert (response.status, await response.read()) == (200, b"")  # it matches no ICE session
    assert len(transceiver.calls) == 0
    async with session.http.delete(session.url) as response:
        assert response.status == 404
    client.close(goodbye=False)


async def test_a_player_hears_what_answers(
    session: Session, transceiver: Transceiver, until: Until
) -> None:
    await session.offer(WHEP, "recvonly")
    assert "a=sendonly" in session.answer
    await session.client.connect(session.answer)
    (call,) = transceiver.calls
    await until(lambda: call.state == "connected")
    session.client.close(goodbye=True)
    await until(lambda: len(transceiver.calls) == 0)


async def test_who_offers_both_ways_talks(
    session: Session, transceiver: Transceiver, until: Until
) -> None:
    await session.offer(WHIP, "sendrecv")
    assert "a=sendrecv" in session.answer
    client = session.client
    await client.connect(session.answer)
    for payload in tone()[:50]:
        client.speak(payload)
    await until(lambda: client.heard.rtp > 5)
    assert len(transceiver.calls) == 1
    client.close(goodbye=True)


async def test_candidates_are_taken_and_change_nothing(session: Session) -> None:
    await session.offer()
    for match in (session.etag, "*", f'"other", {session.etag}'):
        assert await session.patch(CANDIDATE, match) == (204, "", None)


async def test_ice_is_restarted_and_the_audio_goes_on(
    session: Session, transceiver: Transceiver, until: Until
) -> None:
    await session.offer()
    client = session.client
    await client.connect(session.answer)
    status, fragment, etag = await session.patch(RESTART, "*")
    assert status == 200
    assert etag not in (None, session.etag)
    assert etag == f'"{fragment.split("a=ice-ufrag:")[1].split()[0]}"'
    assert "a=candidate:" in fragment
    assert "a=ice-lite" in fragment
    client.restart(fragment)
    await client.check()
    (call,) = transceiver.calls
    before = call.stats()["rtp"]["received"]
    for payload in tone()[:20]:
        client.speak(payload)
    await until(lambda: call.stats()["rtp"]["received"] == before + 20)
    assert await session.patch(CANDIDATE, session.etag) == (412, "precondition_failed", None)
    assert await session.patch(RESTART, etag) == (204, "", None), "these are those of now"
    client.close(goodbye=True)


@pytest.mark.parametrize(
    ("body", "match", "kind", "status", "code"),
    [
        (CANDIDATE, None, FRAGMENT, 428, "precondition_required"),
        (RESTART, None, FRAGMENT, 428, "precondition_required"),
        (CANDIDATE, '"another"', FRAGMENT, 412, "precondition_failed"),
        (RESTART, '"another"', FRAGMENT, 412, "precondition_failed"),
        (CANDIDATE, 'W/"weak"', FRAGMENT, 412, "precondition_failed"),
        (CANDIDATE, "no quotes", FRAGMENT, 412, "precondition_failed"),
        (CANDIDATE, "*", "application/sdp", 415, "unsupported_media_type"),
        (CANDIDATE, "*", "application/json", 415, "unsupported_media_type"),
        *((CANDIDATE, "*", trap, 415, "unsupported_media_type") for trap in [NO_BOUNDARY, *TRAPS]),
        ("", "*", FRAGMENT, 400, "invalid_fragment"),
        ('[{"candidate": "x"}]', "*", FRAGMENT, 400, "invalid_fragment"),
        ("a=ice-ufrag:ab\r\na=ice-pwd:cd\r\n", "*", FRAGMENT, 400, "invalid_sdp"),
        ("a=x\r\n" * 20_000, "*", FRAGMENT, 400, "invalid_fragment"),
    ],
)
async def test_a_bad_patch_is_refused_and_the_session_stays(
    *,
    session: Session,
    transceiver: Transceiver,
    body: str,
    match: str | None,
    kind: str,
    status: int,
    code: str,
) -> None:
    await session.offer()
    assert (await session.patch(body, match, kind))[:2] == (status, code)
    assert len(transceiver.calls) == 1
    assert await session.patch(CANDIDATE, session.etag) == (204, "", None)


async def test_too_many_restarts_are_refused_for_a_while(session: Session) -> None:
    await session.offer()
    for number in range(8):
        body = RESTART.replace("newUFRAG", f"new{number}")
        assert (await session.patch(body, "*"))[0] == 200
    assert (await session.patch(RESTART, "*"))[:2] == (429, "too_many_restarts")


async def test_ice_of_apart_sections_cannot_be_restarted_by_a_fragment(
    session: Session, transceiver: Transceiver
) -> None:
    session.client = ThinClient(new_identity(), Random(1), data=True)
    session.client.offer = session.client.offer.replace("a=group:BUNDLE 0 1\r\n", "")
    await session.offer()
    assert (await session.patch(RESTART, "*"))[:2] == (422, "not_bundled")
    assert len(transceiver.calls) == 1


async def test_clients_that_send_no_if_match_may_be_let_in(
    http: aiohttp.ClientSession, serve: Any, transceiver: Transceiver
) -> None:
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    lenient = WhipConfig(strict=False)
    async with serve(controls, advertise=transceiver.address, whip=lenient) as server:
        session = Session(http, server)
        await session.offer()
        assert await session.patch(CANDIDATE, None) == (204, "", None)
        assert (await session.patch(RESTART, None))[0] == 200
        assert (await session.patch(CANDIDATE, session.etag))[0] == 412


@pytest.mark.parametrize("path", [WHIP, WHEP, f"{WHIP}/rtc_1-5-9-abc"])
async def test_options_say_what_is_taken_and_tell_of_ice_servers(
    http: aiohttp.ClientSession, serve: Any, control: Any, path: str
) -> None:
    servers = IceServer("stun:stun.example.net"), IceServer("turn:turn.example.net", "u", "p")
    whip = WhipConfig(ice_servers=servers)
    async with control().running() as api, serve((Target(1, 1, 1), api.url), whip=whip) as server:
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
        async with http.options(server.url + path, headers=asked) as response:
            assert response.status == 204
            told = response.headers
        assert told["Accept-Post"] == "application/sdp"
        assert told["Accept-Patch"] == FRAGMENT
        assert told.getall("Link") == [each.link for each in servers]
        assert told["Access-Control-Allow-Origin"] == "*"
        assert {"PATCH", "DELETE", "POST"} <= set(told["Access-Control-Allow-Methods"].split(", "))
        assert "If-Match" in told["Access-Control-Allow-Headers"]
        exposed = set(told["Access-Control-Expose-Headers"].split(", "))
        assert {"Location", "ETag", "Link"} <= exposed
        async with http.post(server.url + WHIP, data=AUDIO, headers=SDP) as response:
            assert response.status == 201
            assert response.headers.getall("Link") == [each.link for each in servers]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        (WHIP, AUDIO, {}, 415, "unsupported_media_type"),
        (WHIP, '{"sdp": ""}', {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        *(
            (WHIP, AUDIO, {"Content-Type": trap}, 415, "unsupported_media_type")
            for trap in [NO_BOUNDARY, *TRAPS]
        ),
        (WHIP, "", SDP, 400, "empty_offer"),
        (WHIP, "hello", SDP, 400, "invalid_offer"),
        (WHIP, "v=0\r\nm=audio x", SDP, 400, "invalid_sdp"),
        (WHIP, "v=0\n" + "a" * 70_000, SDP, 413, "offer_too_large"),
        (WHIP, "v=0\n" + "a" * 300_000, SDP, 413, "body_too_large"),
        (WHEP, "", SDP, 406, "offer_needed"),
        (WHEP, "", {}, 406, "offer_needed"),
        (WHEP, "hello", SDP, 400, "invalid_offer"),
    ],
)
async def test_what_is_no_offer_is_refused_and_takes_no_place(
    *,
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    path: str,
    body: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    async with http.post(real_server.url + path, data=body, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code
        assert ("Accept-Post" in response.headers) == (status == 415)
    assert len(transceiver.calls) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("path", [WHIP, f"{WHIP}/rtc_1-5-9-abc", WHEP])
async def test_methods_that_are_kept_for_later_are_refused(
    http: aiohttp.ClientSession, real_server: SignalingServer, method: str, path: str
) -> None:
    async with http.request(method, real_server.url + path) as response:
        assert response.status == 405
        assert "OPTIONS" in response.headers["Allow"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("call", ["rtc_1-5-9-abc", "rtc_9-9-9-abc", "nonsense"])
async def test_a_session_that_is_not_there_is_named(
    http: aiohttp.ClientSession, real_server: SignalingServer, method: str, call: str
) -> None:
    url = f"{real_server.url}{WHIP}/{call}"
    async with http.request(method, url, data=CANDIDATE, headers=patching("*")) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "call_id_not_found"


async def test_full_servers_say_when_to_come_again(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    full = control(health={"sessions": 1, "capacity": 1, "draining": False})
    async with (
        full.running() as api,
        serve((Target(1, 1, 1), api.url)) as server,
        http.post(server.url + WHIP, data=AUDIO, headers=SDP) as response,
    ):
        assert response.status == 503
        assert "Retry-After" in response.headers


async def test_a_session_of_whip_is_a_call(
    session: Session, http: aiohttp.ClientSession, transceiver: Transceiver
) -> None:
    await session.offer()
    call_id = session.url.rsplit("/", 1)[1]
    async with http.post(f"{session.server.url}{CALLS}/{call_id}/hangup") as response:
        assert response.status == 200
    assert len(transceiver.calls) == 0


async def test_a_model_may_be_asked_for_in_the_url(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    async with control().running() as api, serve((Target(1, 1, 1), api.url)) as server:
        for query in ({}, {"model": "large"}):
            url = server.url + WHIP
            async with http.post(url, params=query, data=AUDIO, headers=SDP) as response:
                assert response.status == 201
    assert [each.get("model") for each in api.offers] == [None, "large"]


@pytest.mark.parametrize("path", [WHIP, WHEP])
async def test_a_key_is_wanted_and_its_quota_counts(
    http: aiohttp.ClientSession, serve: Any, control: Any, keys: Keys, path: str
) -> None:
    allowed = SDP | keys.add("alice", quota=Quota(setups=0.01))
    async with (
        control().running() as api,
        serve((Target(1, 1, 1), api.url), keys_file=keys.path) as server,
    ):
        async with http.post(server.url + path, data=AUDIO, headers=SDP) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        for status in (201, 429):
            async with http.post(server.url + path, data=AUDIO, headers=allowed) as response:
                assert response.status == status
        for method in ("PATCH", "DELETE"):
            async with http.request(method, f"{server.url}{path}/rtc_1-1-1-abc") as response:
                assert response.status == 401
    assert [each["principal"] for each in api.offers] == ["alice"]
