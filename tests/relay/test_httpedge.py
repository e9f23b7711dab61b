"""What connections may cost a server, over real TCP; junk of all kinds gets an answer or an end."""

import asyncio
import contextlib
import gc
import json
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import relay.httpedge
from relay.listen import serve_http
from relay.supervision import Faults
from relay.wire.endpoint import Endpoint

ANYWHERE = Endpoint("127.0.0.1", 0)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def error_response(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def body(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def breaks(_: web.Request) -> web.Response:
    raise ZeroDivisionError("a secret")


async def upgrades(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    return socket


async def never(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def long(request: web.Request) -> web.Response:
    relay.httpedge.lift_time_limit(request)
    await asyncio.sleep(0.3)
    return web.Response(text="at last")


async def large(_: web.Request) -> web.Response:
    return web.Response(body=bytes(8 << 20))


@asynccontextmanager
async def serving(faults: Faults | None = None, **more: Any) -> AsyncIterator[Endpoint]:
    application = web.Application(client_max_size=100_000)
    application.add_routes(
        [
            web.get("/", hello),
            web.post("/", body),
            web.get("/breaks", breaks),
            web.get("/socket", upgrades),
            web.get("/never", never),
            web.get("/long", long),
            web.get("/large", large),
        ]
    )
    async with serve_http(
        application, ANYWHERE, "a test", faults=faults, error_response=error_response, **more
    ) as address:
        yield address


async def ask(address: Endpoint, request: bytes) -> tuple[int, bytes]:
    """Send bytes and read all that comes back: the status, and the body."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length")
            )
            return int(head.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()


JUNK = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "no UTF-8": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
    "a length below nothing": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "no chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another scheme": b"GET ftp://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an expectation": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n",
    "an expectation that is no text": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
    "an upgrade to what is no text": b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: \xff\r\n\r\n",
    "another version of WebSockets": b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: \xff\r\n\r\n",
    "a body that is too long": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
    + bytes(200_000),
    "elsewhere": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "elsewhere, hidden": b"GET /%2e%2e/%2fetc%00/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
async def test_what_is_no_request_gets_an_error_of_the_apis_format_and_no_traceback(
    junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as address:
        status, answer = await ask(address, junk)
        assert 400 <= status < 500
        assert json.loads(answer)["error"]
        assert (await ask(address, GET))[1] == b"hello"
    assert not [each for each in caplog.records if each.exc_info or each.levelname == "ERROR"]


async def test_a_body_is_not_inflated() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
    async with serving() as address:
        assert await ask(address, head + b"hello") == (200, b"5")


async def test_what_breaks_is_told_without_its_reason_and_noted_once_by_its_route(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    async with serving(faults) as address:
        for _ in range(3):
            status, answer = await ask(address, GET.replace(b"/ ", b"/breaks "))
            assert status == 500
            assert b"secret" not in answer
    assert faults.counters == {"GET /breaks": 3}
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1


async def test_a_request_that_takes_too_long_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.httpedge, "WHOLE_REQUEST", 0.1)
    async with serving() as address:
        status, answer = await ask(address, GET.replace(b"/ ", b"/never "))
    assert (status, json.loads(answer)["error"]) == (504, "The request took too long.")


async def test_a_request_may_take_longer_when_its_handler_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.httpedge, "WHOLE_REQUEST", 0.1)
    async with serving() as address:
        status, answer = await ask(address, GET.replace(b"/ ", b"/long "))
    assert (status, answer) == (200, b"at last")


@pytest.mark.parametrize("start", [b"", b"GET / HT", GET], ids=["nothing", "half a head", "one"])
async def test_a_connection_without_a_request_ends(
    monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(relay.httpedge, "IDLE", 0.2)
    async with serving() as address, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(start)
        await reader.read()
        writer.close()


async def test_a_head_that_trickles_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.httpedge, "IDLE", 0.3)
    async with serving() as address, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*address)
        ended = asyncio.create_task(reader.read())
        while not (await asyncio.wait([ended], timeout=0.02))[0]:
            writer.write(b"a")
        await asyncio.gather(ended, return_exceptions=True)  # it may have ended by a reset
        writer.close()


async def test_of_too_many_connections_the_longest_without_a_request_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.httpedge, "MOST_CONNECTIONS", 10)
    async with serving() as address, asyncio.timeout(10):
        busy = [await asyncio.open_connection(*address) for _ in range(5)]
        for _, writer in busy:
            writer.write(GET.replace(b"/ ", b"/never "))
        assert (await ask(address, GET))[1] == b"hello"  # those before have been heard
        silent = [await asyncio.open_connection(*address) for _ in range(20)]
        assert (await ask(address, GET))[1] == b"hello"
        for reader, _ in silent[:15]:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        assert not any(reader.at_eof() for reader, _ in (*busy, *silent[16:]))
        for _, writer in (*busy, *silent):
            writer.close()


@pytest.mark.parametrize("shared", [True, False])
async def test_one_address_has_a_share_of_the_connections_and_a_proxy_all(*, shared: bool) -> None:
    async with (
        serving(most_of_one=3, shared=lambda _: shared) as address,
        asyncio.timeout(10),
    ):
        opened = [await asyncio.open_connection(*address) for _ in range(8)]
        heard = 0
        for reader, writer in reversed(opened):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                writer.write(GET)
                await reader.readuntil(b"hello")
                heard += 1
        assert heard == (8 if shared else 3)
        for _, writer in opened:
            writer.close()


async def test_connections_that_end_give_their_share_back() -> None:
    async with serving(most_of_one=2) as address, asyncio.timeout(10):
        for _ in range(20):
            assert (await ask(address, GET))[1] == b"hello"


async def test_when_all_are_busy_the_newcomer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.httpedge, "MOST_CONNECTIONS", 3)
    async with serving() as address, asyncio.timeout(10):
        busy = [await asyncio.open_connection(*address) for _ in range(3)]
        for reader, writer in busy:
            writer.write(GET + GET.replace(b"/ ", b"/never "))
            await reader.readuntil(b"hello")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(address, GET)
        for _, writer in busy:
            writer.close()


async def test_who_goes_away_cancels_what_he_asked_for() -> None:
    before = asyncio.all_tasks()
    async with serving() as address, asyncio.timeout(10):
        around = asyncio.all_tasks()
        _, writer = await asyncio.open_connection(*address)
        writer.write(GET.replace(b"/ ", b"/never "))
        while len(asyncio.all_tasks()) < len(around) + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while asyncio.all_tasks() - around:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_unread_answers_are_the_kernels_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.httpedge, "UNREAD", 1)
    async with serving() as address, asyncio.timeout(20):
        around = asyncio.all_tasks()
        reader, writer = await asyncio.open_connection(*address, limit=1024)
        writer.write(GET.replace(b"/ ", b"/large "))
        while len(asyncio.all_tasks()) < len(around) + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while asyncio.all_tasks() - around:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        writer.transport.abort()
        assert reader


async def test_a_flood_leaves_neither_descriptors_nor_memory(
    open_files: Callable[[], int],
) -> None:
    async with serving() as address:
        await ask(address, GET)
        gc.collect()
        before, memory = open_files(), _resident()
        for _ in range(20):
            opened = [await asyncio.open_connection(*address) for _ in range(50)]
            for number, (_, writer) in enumerate(opened):
                writer.write(
                    [b"", b"GET / HT", GET, b"POST / HTTP/1.1\r\nX: " + b"a" * 9000][number % 4]
                )
            for _, writer in opened:
                writer.transport.abort()
        async with asyncio.timeout(5):
            while open_files() > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gc.collect()
        assert _resident() < memory + (16 << 20)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()
