"""The connection to a service: made, lost, made again; slow and malicious services."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from relay.supervision import Faults
from transceiver.backend import Wanted
from transceiver.bridge import link as links
from transceiver.bridge.continuing import Continuing
from transceiver.bridge.link import MAX_MESSAGE, Link
from transceiver.bridge.services import Services
from transceiver.bridge.table import Service, Table
from transceiver.bridge.uplink import MAX_SOUNDS
from transceiver.resume import GOES_ON_ELSEWHERE

Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Listener:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received_: list[str | bytes] = []
        self.losses: list[str] = []
        self.connects = 0

    def connected(self) -> list[str]:
        self.connects += 1
        return ['{"type": "first"}']

    def greeted(self) -> list[str]:
        return ['{"type": "history"}']

    def received(self, message: str | bytes) -> None:
        self.received_.append(message)

    def taken(self) -> None:
        self.losses.append("taken")

    def lost(self, why: str) -> None:
        self.losses.append(why)

    def kinds(self) -> list[str]:
        return [json.loads(each)["type"] for each in self.received_]


@pytest.fixture
async def open_link(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Connects to a URL; what is lost is made again soon."""
    monkeypatch.setattr(links, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(links, "LONGEST_PAUSE", 0.05)
    made: list[Link] = []
    async with Services(Table()) as services:

        def make(url: str, **options: Any) -> tuple[Link, Listener]:
            listener, service = Listener(), Service("test", url, **options)
            made.append(
                Link(lambda: services.connect(service, Wanted(model="m")), listener, Faults())
            )
            return made[-1], listener

        yield make
        for each in made:
            each.close()
        await asyncio.gather(*(each._task for each in made), return_exceptions=True)


async def test_it_connects_says_its_first_words_and_then_what_waits(
    service: Any, open_link: Any, until: Until
) -> None:
    link, listener = open_link(service.url, key="sk-1")
    link.send('{"type": "second"}')
    link.send_sound('{"type": "third"}')
    await until(lambda: service.connections and len(service.connection.received) == 3)
    assert service.connection.kinds() == ["first", "second", "third"]
    assert service.connection.request.query == {"model": "m"}
    assert service.connection.request.headers["Authorization"] == "Bearer sk-1"
    assert "Sec-WebSocket-Extensions" not in service.connection.request.headers, "no deflate"
    await until(lambda: listener.kinds() == ["session.created"])


async def test_what_is_lost_is_made_again_and_told_once(
    service: Any, open_link: Any, until: Until
) -> None:
    link, listener = open_link(service.url)
    await until(lambda: listener.connects == 1)
    service.refuse = 401
    await service.connection.socket.close(code=1011)
    await until(lambda: listener.losses)
    link.send('{"type": "while it was away"}')
    tries = len(service.connections)
    await asyncio.sleep(0.2)
    assert listener.losses == ["it closed the connection (code 1011)"]
    assert len(service.connections) == tries
    service.refuse = None
    await until(lambda: listener.connects == 2)
    await until(lambda: service.connection.kinds() == ["first", "history", "while it was away"])
    await service.connection.socket.close()
    await until(lambda: listener.connects == 3)
    assert len(listener.losses) == 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ws://127.0.0.1:9/x?key=sk-secret", "it cannot be reached: Connection refused"),
        ("wss://{address}/v1/realtime", "certificate cannot be verified, or it does not speak TLS"),
        ("ws://{address}/elsewhere", "it answered 404"),
    ],
)
async def test_why_it_cannot_be_had_is_said_in_words(
    service: Any, open_link: Any, until: Until, url: str, says: str
) -> None:
    _, listener = open_link(url.format(address=service.address))
    await until(lambda: listener.losses)
    assert says in listener.losses[0]
    assert "sk-secret" not in listener.losses[0]


async def test_a_service_that_never_answers_is_given_up(
    open_link: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "CONNECT_SECONDS", 0.1)
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    _, listener = open_link(f"ws://127.0.0.1:{port}/")
    await until(lambda: listener.losses)
    assert listener.losses[0].startswith("it did not answer within")
    silent.close()


async def test_messages_of_several_mib_come_and_longer_ones_end_the_connection(
    service: Any, open_link: Any, until: Until
) -> None:
    _, listener = open_link(service.url)
    await until(lambda: service.connections)
    await service.connection.send("large", x="y" * (8 << 20))
    await until(lambda: "large" in listener.kinds())
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        await service.connection.socket.send_str("x" * (MAX_MESSAGE + 1))
    await until(lambda: listener.losses)
    assert listener.losses == [
        f"it closed the connection (a message had more than {MAX_MESSAGE} bytes)"
    ]
    await until(lambda: listener.connects >= 2)


async def test_a_flood_leaves_others_their_turns(
    service: Any, open_link: Any, until: Until
) -> None:
    async def flood(connection: Any) -> None:
        try:
            while True:
                await connection.socket.send_str("x")
                await asyncio.sleep(0)
        except (ConnectionError, aiohttp.ClientError):
            return

    service.script = flood
    link, listener = open_link(service.url)
    await until(lambda: len(listener.received_) > 100)
    count, began = len(listener.received_), time.monotonic()
    await asyncio.sleep(0.5)
    rate, burst = links._BURST / links._BURST_SECONDS, links._BURST
    assert len(listener.received_) - count <= rate * (time.monotonic() - began) + 2 * burst
    link.close()
    await until(link._task.done)  # although there is always one message more


async def test_a_service_that_does_not_read_costs_a_bounded_queue(
    service: Any, open_link: Any, until: Until
) -> None:
    service.reads.clear()
    link, listener = open_link(service.url)
    await until(lambda: listener.connects)
    taken = 0
    while link.send("x" * (1 << 20)):
        taken += 1
        await asyncio.sleep(0)
        assert taken < 200
    for _ in range(1000):
        link.send_sound("y" * 1000)
    assert link.uplink.left_out > 500
    assert len(link.uplink) <= taken + MAX_SOUNDS
    service.reads.set()


async def test_what_raises_here_is_noted_and_the_connection_made_again(
    service: Any, open_link: Any, until: Until
) -> None:
    link, listener = open_link(service.url)

    def breaking(_: object) -> None:
        raise ZeroDivisionError

    listener.received = breaking
    await until(lambda: listener.losses)
    assert listener.losses == ["it broke"]
    assert link._faults.counters == {"a connection to a back end": 1}
    await until(lambda: listener.connects >= 2)


async def test_a_closed_one_is_closed(service: Any, open_link: Any, until: Until) -> None:
    link, listener = open_link(service.url)
    await until(lambda: listener.connects)
    link.close()
    await until(lambda: service.connection.socket.closed and link._task.done())
    assert listener.losses == []


async def test_a_session_that_goes_on_elsewhere_is_not_asked_for_again(
    service: Any, open_link: Any, until: Until
) -> None:
    link, listener = open_link(service.url)
    await until(lambda: listener.connects == 1)
    await service.connection.socket.close(code=GOES_ON_ELSEWHERE)
    await until(lambda: listener.losses == ["taken"])
    await until(link._task.done)
    assert len(service.connections) == 1


@pytest.mark.parametrize(("kept", "code"), [(False, 1000), (True, 1001)])
async def test_how_it_ends_says_whether_somebody_may_go_on(
    service: Any, open_link: Any, until: Until, kept: bool, code: int
) -> None:
    link, listener = open_link(service.url)
    await until(lambda: listener.received_)
    link.close(kept=kept)
    await until(lambda: service.connection.socket.close_code == code)


async def test_a_service_that_does_not_greet_is_not_waited_for_long(
    service: Any, open_link: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "GREETING_SECONDS", 0.05)

    async def silence(_: Any) -> None:
        """Some wait for the client."""

    service.script = silence
    link, listener = open_link(service.url)
    await until(lambda: listener.connects == 1)
    await service.connection.socket.close(code=1011)
    link.send('{"type": "waiting"}')
    await until(lambda: listener.connects == 2)
    await until(lambda: service.connection.kinds() == ["first", "history", "waiting"])


async def test_connections_name_the_session_that_they_are_of(service: Any) -> None:
    async with Services(Table()) as services:
        continuing = Continuing("old", "own")
        for resume in ("old", "own"):
            socket = await services.connect(Service("test", service.url), Wanted(), continuing)
            headers = service.connection.request.headers
            assert (headers["Icelane-Resume"], headers["Icelane-Keep"]) == (resume, "own")
            await socket.close()
