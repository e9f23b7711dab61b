from typing import Any

import aiohttp
import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate, Transport
from signaling.control import ControlClient, Session
from signaling.errors import BusyError, OfferRejectedError, SessionNotFoundError, UnreachableError
from signaling.placement import Load
from transceiver.server import Transceiver

CANDIDATES = (
    Candidate(Endpoint("203.0.113.10", 3478)),
    Candidate(Endpoint("203.0.113.10", 443), Transport.TCP),
)


def client(http: aiohttp.ClientSession, url: str, timeout: float = 5.0) -> ControlClient:
    return ControlClient(http, url, timeout=timeout)


async def test_the_life_of_a_session(
    http: aiohttp.ClientSession, transceiver: Transceiver, offer: str
) -> None:
    control = client(http, f"http://{transceiver.control}/")
    assert await control.health() == Load(0, transceiver.config.capacity)
    session = await control.create(offer, CANDIDATES)
    assert "a=candidate:" in session.sdp
    assert "203.0.113.10 3478" in session.sdp
    assert await control.health() == Load(1, transceiver.config.capacity)
    assert (await control.delete(session.id))["id"] == session.id
    with pytest.raises(SessionNotFoundError):
        await control.delete(session.id)


async def test_a_bad_offer_is_told_apart(
    http: aiohttp.ClientSession, transceiver: Transceiver
) -> None:
    with pytest.raises(OfferRejectedError) as caught:
        await client(http, f"http://{transceiver.control}").create("v=0", CANDIDATES)
    assert caught.value.code
    assert str(caught.value)


async def test_a_draining_transceiver_says_so(http: aiohttp.ClientSession, control: Any) -> None:
    async with control(health={"sessions": 3, "capacity": 9, "draining": True}).running() as api:
        assert await client(http, api.url).health() == Load(3, 9, draining=True)


async def test_a_full_transceiver_says_when_to_come_again(
    http: aiohttp.ClientSession, control: Any
) -> None:
    full = control(created=(503, {"error": {}}), headers={"Retry-After": "7"})
    async with full.running() as api:
        with pytest.raises(BusyError) as caught:
            await client(http, api.url).create("v=0", [])
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {}),
        (201, ["rtc_abc"]),
        (201, {"id": "rtc_abc"}),
        (201, {"id": 5, "sdp": "v=0"}),
        (201, {"id": "rtc_a/../b", "sdp": "v=0"}),
        (200, {"id": "rtc_abc", "sdp": "v=0"}),
        (404, {}),
        (500, {"error": {"code": "x", "message": "y"}}),
    ],
)
async def test_whoever_does_not_speak_the_api_counts_as_unreachable(
    http: aiohttp.ClientSession, control: Any, status: int, body: Any
) -> None:
    async with control(created=(status, body)).running() as api:
        with pytest.raises(UnreachableError):
            await client(http, api.url).create("v=0", [])


@pytest.mark.parametrize("health", [{}, {"sessions": "1", "capacity": 5}, {"capacity": 5}])
async def test_nonsense_is_no_health(
    http: aiohttp.ClientSession, control: Any, health: dict[str, Any]
) -> None:
    async with control(health=health).running() as api:
        with pytest.raises(UnreachableError):
            await client(http, api.url).health()


async def test_health_without_a_word_on_draining_counts_as_draining(
    http: aiohttp.ClientSession, control: Any
) -> None:
    async with control(health={"sessions": 1, "capacity": 5}).running() as api:
        assert not (await client(http, api.url).health()).has_room


async def test_a_slow_transceiver_is_given_up(http: aiohttp.ClientSession, control: Any) -> None:
    async with control(delay=5).running() as api:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.3 s"):
            await client(http, api.url, timeout=0.3).health()


async def test_nobody_there(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port}"):
        await client(http, f"http://127.0.0.1:{unused_tcp_port}").health()


async def test_an_answer_is_taken_whole(http: aiohttp.ClientSession, control: Any) -> None:
    sdp = "v=0\r\n" + "a=x:" + "y" * 100_000
    async with control(created=(201, {"id": "rtc_abc", "sdp": sdp})).running() as api:
        session = await client(http, api.url).create("v=0", CANDIDATES)
        assert session == Session("rtc_abc", sdp)
        told = [
            {"transport": "udp", "address": "203.0.113.10:3478"},
            {"transport": "tcp", "address": "203.0.113.10:443"},
        ]
        assert api.offers == [{"sdp": "v=0", "candidates": told}]
