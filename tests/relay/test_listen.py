import asyncio
import errno
import logging

import aiohttp
import pytest
from aiohttp import web

from relay.errors import BindError
from relay.listen import bind_error, serve_http
from relay.wire.endpoint import Endpoint

ANYWHERE = Endpoint("127.0.0.1", 0)


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
def application() -> web.Application:
    made = web.Application()
    made.router.add_get("/", hello)
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_application_is_served_while_the_context_is_entered(
    application: web.Application, host: str
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        serve_http(application, Endpoint(host, 0), "a test") as address,
    ):
        assert address.host == host
        async with http.get(f"http://{address}/") as response:
            assert await response.text() == "hello"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_a_port_in_use_is_an_error_that_says_what_to_do(
    application: web.Application,
) -> None:
    async with serve_http(application, ANYWHERE, "a test") as taken:
        before = asyncio.all_tasks()
        with pytest.raises(BindError) as caught:
            async with serve_http(web.Application(), taken, "another test"):
                pass
        assert asyncio.all_tasks() == before
    assert str(caught.value) == (
        f"cannot listen on {taken} for another test: Address already in use; "
        "another program has this port: stop it or choose another port"
    )


async def test_an_address_of_another_host_is_an_error(application: web.Application) -> None:
    elsewhere = Endpoint("192.0.2.77", 8080)
    with pytest.raises(BindError, match=r"this host has no such address: see `ip address`"):
        async with serve_http(application, elsewhere, "a test"):
            pass


def test_an_error_of_another_kind_keeps_its_cause() -> None:
    unusual = bind_error(ANYWHERE, "a test", OSError(errno.EMFILE, "Too many open files"))
    assert str(unusual) == (
        "cannot listen on 127.0.0.1:0 for a test: Too many open files; choose another address"
    )


@pytest.fixture
def slow() -> tuple[web.Application, asyncio.Event]:
    """An application whose only answer never comes, and an event that is set when asked for it."""
    asked = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    application = web.Application()
    application.router.add_get("/", wait)
    return application, asked


async def test_a_request_in_progress_does_not_hold_up_the_end(
    slow: tuple[web.Application, asyncio.Event],
) -> None:
    application, asked = slow
    async with aiohttp.ClientSession() as http:
        async with asyncio.timeout(10):
            async with serve_http(application, ANYWHERE, "a test") as address:
                request = asyncio.ensure_future(http.get(f"http://{address}/"))
                await asked.wait()
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_subprotocols_that_nobody_knows_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("known",))
        await socket.prepare(request)
        await socket.close()
        return socket

    application = web.Application()
    application.router.add_get("/", talk)
    async with (
        aiohttp.ClientSession() as http,
        serve_http(application, ANYWHERE, "a test") as address,
        http.ws_connect(f"http://{address}/", protocols=("secret-key",)) as socket,
    ):
        assert socket.protocol is None
        logging.getLogger("aiohttp.websocket").warning("another matter")
    assert "another matter" in caplog.text
    assert "secret-key" not in caplog.text
