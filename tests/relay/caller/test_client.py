"""The HTTP client against signaling, and against servers that answer something else."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from relay.caller.client import SignalingClient
from relay.caller.errors import CallError, Failure
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from signaling.callid import CALLS
from signaling.selfsigned import keep_certificate
from signaling.server import SignalingServer
from transceiver.server import Transceiver

ANYWHERE = Endpoint("127.0.0.1", 0)

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(
    place: Handler, delete: Handler | None = None, hang_up: Handler | None = None
) -> AsyncIterator[URL]:
    application = web.Application()
    application.router.add_post("/calls", place)
    if delete is not None:
        application.router.add_delete("/calls/rtc_x", delete)
    if hang_up is not None:
        application.router.add_post("/calls/rtc_x/hangup", hang_up)
    async with serve_http(application, ANYWHERE, "a test") as address:
        yield URL(f"http://{address}/calls")


def answering(response: Callable[[], web.Response]) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return response()

    return handler


def placed(location: str | None = "/calls/rtc_x") -> Handler:
    headers = {} if location is None else {"Location": location}
    return answering(lambda: web.Response(status=201, text="v=0\r\n", headers=headers))


async def test_a_call_is_placed_and_hung_up(
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    client = SignalingClient(http, URL(real_server.url + CALLS))
    assert client.call_id is None
    answer = await client.offer(offer)
    assert f" {transceiver.address.port} typ host" in answer
    (session,) = transceiver.calls
    assert client.call_id == f"rtc_1-5-9-{session.id.removeprefix('rtc_')}"
    statistics = await client.hang_up()
    assert statistics is not None
    assert (statistics["id"], statistics["state"]) == (client.call_id, "ended")
    assert len(transceiver.calls) == 0
    assert await client.hang_up() is None, "it has ended"


async def test_a_refusal_tells_the_message_of_the_server(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    client = SignalingClient(http, URL(real_server.url + CALLS))
    with pytest.raises(CallError, match=r"answered 400: This is not SDP: the first line") as caught:
        await client.offer("hello")
    assert caught.value.failure is Failure.SIGNALING_REFUSED
    assert client.call_id is None
    assert await client.hang_up() is None


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"error": "text"}', '{"error": {"code": 5}}', "\udcff"]
)
async def test_a_refusal_in_another_format_tells_the_status(
    http: aiohttp.ClientSession, body: str
) -> None:
    raw = body.encode(errors="surrogateescape")
    async with server(answering(lambda: web.Response(status=502, body=raw))) as url:
        with pytest.raises(CallError, match=rf"{url} answered 502: Bad Gateway$") as caught:
            await SignalingClient(http, url).offer("v=0")
    assert caught.value.failure is Failure.SIGNALING_REFUSED


@pytest.mark.parametrize("location", ["/calls/rtc_x", "calls/rtc_x", "{origin}/calls/rtc_x"])
async def test_the_location_of_a_call_may_be_relative(
    http: aiohttp.ClientSession, location: str
) -> None:
    origin = ""

    async def place(_: web.Request) -> web.Response:
        headers = {"Location": location.format(origin=origin)}
        return web.Response(status=201, text="v=0\r\n", headers=headers)

    async with server(place, answering(lambda: web.json_response({"rtp": {}}))) as url:
        origin = str(url.origin())
        client = SignalingClient(http, url)
        assert await client.offer("v=0") == "v=0\r\n"
        assert client.call_id == "rtc_x"
        assert await client.hang_up() == {"rtp": {}}


async def test_a_call_without_a_location_cannot_be_hung_up(http: aiohttp.ClientSession) -> None:
    async with server(placed(location=None)) as url:
        client = SignalingClient(http, url)
        assert await client.offer("v=0") == "v=0\r\n"
        assert client.call_id is None
        assert await client.hang_up() is None


@pytest.mark.parametrize(
    "response",
    [
        lambda: web.json_response({"error": {}}, status=503),
        lambda: web.json_response(["rtp"]),
        lambda: web.Response(text="ended"),
        lambda: web.Response(text="{", content_type="application/json"),
    ],
    ids=["error", "list", "text", "malformed"],
)
async def test_a_hang_up_without_statistics_is_no_failure(
    http: aiohttp.ClientSession, response: Callable[[], web.Response]
) -> None:
    async with server(placed(), answering(response)) as url:
        client = SignalingClient(http, url)
        await client.offer("v=0")
        assert await client.hang_up() is None


@pytest.mark.parametrize(
    ("body", "statistics"), [(b"", None), (b'{"rtp": {}}', {"rtp": {}})], ids=["none", "some"]
)
async def test_a_server_that_deletes_no_calls_is_told_to_hang_up(
    http: aiohttp.ClientSession, body: bytes, statistics: object
) -> None:
    ended = []

    async def hang_up(_: web.Request) -> web.Response:
        ended.append(True)
        return web.Response(body=body, content_type="application/json")

    async with server(placed(), hang_up=hang_up) as url:
        client = SignalingClient(http, url)
        await client.offer("v=0")
        assert await client.hang_up() == statistics
    assert ended == [True]


async def test_a_hang_up_of_a_server_that_is_gone_is_no_failure(
    http: aiohttp.ClientSession,
) -> None:
    async with server(placed()) as url:
        client = SignalingClient(http, url)
        await client.offer("v=0")
    assert await client.hang_up() is None


async def refused(http: aiohttp.ClientSession, url: str) -> str:
    with pytest.raises(CallError) as caught:
        await SignalingClient(http, URL(url)).offer("v=0")
    assert caught.value.failure is Failure.SIGNALING_UNREACHABLE
    return str(caught.value)


async def test_a_server_that_cannot_be_reached_is_named(
    http: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/calls"
    assert await refused(http, url) == f"cannot reach {url}: Connection refused"


async def test_a_name_that_cannot_be_resolved_is_told(http: aiohttp.ClientSession) -> None:
    url = "http://signaling.invalid/calls"
    text = await refused(http, url)
    assert re.fullmatch(rf"cannot reach {url}: .*(name|resol|hostname).*", text, re.IGNORECASE)


async def test_a_server_that_does_not_answer_is_given_up(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.caller.client._TIMEOUT", aiohttp.ClientTimeout(total=0.1))

    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(never) as url:
        assert await refused(http, str(url)) == f"cannot reach {url}: no answer in time"


async def test_a_certificate_that_nobody_vouches_for_is_told_as_such(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.pem"
    keep_certificate(path, ["127.0.0.1"], datetime.now(UTC))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    async with serve_http(web.Application(), ANYWHERE, "a test", tls=context) as address:
        url = f"https://{address}/calls"
        text = await refused(http, url)
        assert "its certificate is not trusted here (self-signed certificate)" in text
        assert "SSL_CERT_FILE" in text
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context())
        async with aiohttp.ClientSession(connector=trusting) as trusted:
            with pytest.raises(CallError, match="answered 404"):
                await SignalingClient(trusted, URL(url)).offer("v=0")


async def test_https_where_http_is_spoken_is_told_as_such(http: aiohttp.ClientSession) -> None:
    async with serve_http(web.Application(), ANYWHERE, "a test") as address:
        text = await refused(http, f"https://{address}/calls")
    assert text.endswith("what answers there speaks no TLS: try http://")
