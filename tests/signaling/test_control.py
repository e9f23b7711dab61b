import asyncio
import contextlib
import gzip
from typing import Any

import aiohttp
import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate, Transport
from signaling.control import LOAD, ControlClient, Session
from signaling.errors import (
    BusyError,
    CallBrokeError,
    ControlError,
    CrowdError,
    IllError,
    OfferRejectedError,
    SessionNotFoundError,
    UnavailableError,
    UnreachableError,
)
from signaling.placement import Load
from signaling.session import Setup
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
    assert await control.health() == Load(0, transceiver.config.capacity, principals={})
    setup = Setup(principal="alice")
    session = await control.create(offer, CANDIDATES, "client", setup=setup)
    assert "a=candidate:" in session.sdp
    assert "203.0.113.10 3478" in session.sdp
    assert await control.health() == Load(1, transceiver.config.capacity, principals={"alice": 1})
    assert (await control.delete(session.id))["id"] == session.id
    with pytest.raises(SessionNotFoundError):
        await control.delete(session.id)


async def test_a_bad_offer_is_told_apart(
    http: aiohttp.ClientSession, transceiver: Transceiver
) -> None:
    with pytest.raises(OfferRejectedError) as caught:
        await client(http, f"http://{transceiver.control}").create("v=0", CANDIDATES, "client")
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
            await client(http, api.url).create("v=0", [], "client")
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {}),
        (201, ["rtc_abc"]),
        (201, {"id": "rtc_abc"}),
        (201, {"id": 5, "sdp": "v=0"}),
        (201, {"id": "rtc_a/../b", "sdp": "v=0"}),
        (201, {"id": "rtc_abc", "sdp": "\ud800"}),
        (200, {"id": "rtc_abc", "sdp": "v=0"}),
        (404, {}),
        (500, {"error": {"code": "x", "message": "y"}}),
    ],
)
async def test_an_answer_that_is_no_session_is_of_this_call_only(
    http: aiohttp.ClientSession, control: Any, status: int, body: Any
) -> None:
    async with control(created=(status, body)).running() as api:
        with pytest.raises(CallBrokeError, match=f"answered {status} without a session"):
            await client(http, api.url).create("v=0", [], "client")


@pytest.mark.parametrize("status", [400, 413, 415, 422])
@pytest.mark.parametrize("body", [{}, [], {"error": "no"}, {"error": {"code": 5, "message": []}}])
async def test_a_refusal_without_words_gets_some(
    http: aiohttp.ClientSession, control: Any, status: int, body: Any
) -> None:
    async with control(created=(status, body)).running() as api:
        with pytest.raises(OfferRejectedError, match="cannot answer this offer") as caught:
            await client(http, api.url).create("v=0", [], "client")
    assert caught.value.code == "invalid_offer"


@pytest.mark.parametrize(
    ("said", "understood"),
    [("7", 7), ("", 2), ("soon", 2), ("-1", 2), ("9" * 5000, 2), ("99999999", 3600), ("²", 2)],
)
async def test_a_client_with_many_calls_is_told_when_to_come_again(
    http: aiohttp.ClientSession, control: Any, said: str, understood: int
) -> None:
    crowd = control(
        created=(429, {"error": {"message": "let them"}}), headers={"Retry-After": said}
    )
    async with crowd.running() as api:
        with pytest.raises(CrowdError, match="let them") as caught:
            await client(http, api.url).create("v=0", [], "client")
    assert caught.value.retry_after == understood


@pytest.mark.parametrize("status", [201, 400, 404, 429, 500, 503])
async def test_every_answer_tells_the_load(
    http: aiohttp.ClientSession, control: Any, status: int
) -> None:
    told: list[Load] = []
    load = '{"sessions": 3, "capacity": 9, "draining": false}'
    async with control(created=(status, {}), headers={LOAD: load}).running() as api:
        with pytest.raises(ControlError):
            await ControlClient(http, api.url, timeout=5, report=told.append).create("", [], "")
    assert told == [Load(3, 9)]


@pytest.mark.parametrize(
    "load", ["", "3/9", "[]", "{}", '{"sessions": -1, "capacity": 9}', "[" * 2000, "\xff"]
)
async def test_a_load_that_is_none_tells_nothing(
    http: aiohttp.ClientSession, control: Any, load: str
) -> None:
    told: list[Load] = []
    async with control(headers={LOAD: load}).running() as api:
        await ControlClient(http, api.url, timeout=5, report=told.append).create("", [], "")
    assert told == []


JUNK = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "no status": b"HTTP/1.1 many OK\r\n\r\n",
    "cut JSON": b'HTTP/1.1 201 OK\r\nContent-Length: 10\r\n\r\n{"id": "rt',
    "cut body": b"HTTP/1.1 201 OK\r\nContent-Length: 100\r\n\r\n{}",
    "deep JSON": b"HTTP/1.1 201 OK\r\nContent-Length: 90000\r\n\r\n" + b"[" * 90_000,
    "endless": b"HTTP/1.1 201 OK\r\nContent-Length: 9000000\r\n\r\n" + b" " * 9_000_000,
    "endless head": b"HTTP/1.1 201 OK\r\nX: " + b"x" * 100_000,
    "a bomb": b"HTTP/1.1 201 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10000\r\n\r\n"
    + gzip.compress(bytes(10_000_000))[:10_000],
    "half an encoding": b"HTTP/1.1 201 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
    "silence": b"HTTP/1.1 201 OK\r\nContent-Length: 100\r\n\r\n",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
async def test_whatever_comes_back_becomes_an_error_in_words(
    http: aiohttp.ClientSession, junk: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(junk)
            await writer.drain()
            if junk is not JUNK["silence"]:
                writer.close()
            else:
                await reader.read()
                writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        control = client(http, f"http://{host}:{port}", timeout=0.5)
        with pytest.raises(UnavailableError, match=f"{host}:{port}/v1/sessions"):
            await control.create("v=0", [], "client")
        with pytest.raises(IllError, match=f"{host}:{port}/v1/health"):
            await control.health()


@pytest.mark.parametrize(
    "health",
    [
        {},
        {"sessions": "1", "capacity": 5},
        {"capacity": 5},
        {"sessions": -1, "capacity": 5},
        {"sessions": True, "capacity": 5},
    ],
)
async def test_nonsense_is_no_health(
    http: aiohttp.ClientSession, control: Any, health: dict[str, Any]
) -> None:
    async with control(health=health).running() as api:
        with pytest.raises(IllError):
            await client(http, api.url).health()


async def test_health_without_a_word_on_draining_counts_as_draining(
    http: aiohttp.ClientSession, control: Any
) -> None:
    async with control(health={"sessions": 1, "capacity": 5}).running() as api:
        assert not (await client(http, api.url).health()).has_room


async def test_a_slow_transceiver_is_given_up(http: aiohttp.ClientSession, control: Any) -> None:
    async with control(delay=5).running() as api:
        with pytest.raises(IllError, match=r"did not answer within 0\.3 s"):
            await client(http, api.url, timeout=0.3).health()


async def test_nobody_there(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    nobody = client(http, f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(IllError, match=f"127.0.0.1:{unused_tcp_port}"):
        await nobody.health()
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port}"):
        await nobody.create("v=0", [], "client")


async def test_an_answer_is_taken_whole(http: aiohttp.ClientSession, control: Any) -> None:
    sdp = "v=0\r\n" + "a=x:" + "y" * 100_000
    async with control(created=(201, {"id": "rtc_abc", "sdp": sdp})).running() as api:
        session = await client(http, api.url).create("v=0", CANDIDATES, "client")
        assert session == Session("rtc_abc", sdp)
        told = [
            {"transport": "udp", "address": "203.0.113.10:3478"},
            {"transport": "tcp", "address": "203.0.113.10:443"},
        ]
        assert api.offers == [{"sdp": "v=0", "candidates": told, "client": "client"}]
