"""Where requests come from, told by a server that they really reach."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from signaling.client import LOOPBACK, Origin
from signaling.origin import Origins

Ask = Callable[[dict[str, str]], Awaitable[Origin]]


@pytest.fixture
async def ask(http: aiohttp.ClientSession) -> AsyncIterator[Ask]:
    """Makes requests; where one comes from, by its headers."""
    origins, found = Origins(LOOPBACK, "X-Region"), []

    async def handler(request: web.Request) -> web.Response:
        found.append(origins.of(request))
        return web.Response()

    application = web.Application()
    application.router.add_get("/", handler)
    async with serve_http(application, Endpoint("127.0.0.1", 0), "a test") as address:

        async def get(headers: dict[str, str]) -> Origin:
            async with http.get(f"http://{address}/", headers=headers):
                return found.pop()

        yield get


async def test_the_proxies_on_its_way_say_it(ask: Ask) -> None:
    assert await ask({}) == Origin("127.0.0.1", None)
    told = {"X-Forwarded-For": "198.51.100.1:51234", "X-Region": "eu"}
    assert await ask(told) == Origin("198.51.100.1", "eu")


async def test_a_proxys_word_that_cannot_be_read_is_told_once(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for entry in ("198.51.100.1", "unknown", "unknown", "x" * 1000):
            await ask({"X-Forwarded-For": entry})
    (warning,) = [each.getMessage() for each in caplog.records if each.name == "signaling.origin"]
    assert "the proxy 127.0.0.1 writes 'unknown' into X-Forwarded-For" in warning
    assert "let it write the address of whom it talks to" in warning
