"""The transport between aiortc and the mux, seen from the network."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate
from transceiver.ice import Credentials
from transceiver.mux import Mux
from transceiver.transport import FIRST_FLIGHT_REPEATS, QUEUE_SIZE, LiteTransport

HELLO = bytes([22, 254, 253]) + b"the first flight"
ANSWER = bytes([22, 254, 253]) + b"the client's flight"

Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Wire:
    """A transport on a real socket, and a client's socket that collects what comes."""

    def __init__(self, mux: Mux, address: Endpoint, credentials: Credentials) -> None:
        self.mux = mux
        self.address = address
        self.transport = LiteTransport(mux, [Candidate(address)], lambda: credentials)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.setblocking(False)
        self.received: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.client, self._read)

    def of(self, kind: Kind) -> list[bytes]:
        return [data for data in self.received if classify(data) is kind]

    def close(self) -> None:
        self._loop.remove_reader(self.client)
        self.client.close()

    def _read(self) -> None:
        self.received.append(self.client.recv(2048))


@pytest.fixture
async def wire(keys: Any, target: Any, credentials: Credentials) -> AsyncIterator[Wire]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        mux = Mux(sock, keys, target)
        mux.open()
        made = Wire(mux, Endpoint.of(sock.getsockname()), credentials)
        yield made
        await made.transport.stop()
        mux.close()
        made.close()


async def connect(wire: Wire, check: Callable[..., bytes], until: Until) -> None:
    wire.client.sendto(check(), wire.address)
    await until(lambda: wire.of(Kind.STUN))


async def test_it_is_started_by_the_first_check(
    wire: Wire, check: Callable[..., bytes], until: Until
) -> None:
    starting = asyncio.ensure_future(wire.transport.start(None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert (wire.transport.state, starting.done()) == ("checking", False)
    await connect(wire, check, until)
    await starting
    assert wire.transport.state == "completed"


async def test_the_first_flight_is_repeated_until_the_client_answers(
    wire: Wire, check: Callable[..., bytes], until: Until
) -> None:
    await connect(wire, check, until)
    await wire.transport._send(HELLO)
    await until(lambda: len(wire.of(Kind.DTLS)) == 3)
    wire.client.sendto(ANSWER, wire.address)
    assert await wire.transport._recv() == ANSWER
    sent = len(wire.of(Kind.DTLS))
    await asyncio.sleep(sum(FIRST_FLIGHT_REPEATS))
    assert wire.of(Kind.DTLS) == [HELLO] * sent


async def test_nothing_is_repeated_when_the_client_speaks_first(
    wire: Wire, check: Callable[..., bytes], until: Until
) -> None:
    await connect(wire, check, until)
    wire.client.sendto(ANSWER, wire.address)
    await wire.transport._recv()
    await wire.transport._send(HELLO)
    await asyncio.sleep(2 * FIRST_FLIGHT_REPEATS[0])
    assert wire.of(Kind.DTLS) == [HELLO]


async def test_nothing_is_sent_before_a_check(wire: Wire) -> None:
    await wire.transport._send(HELLO)
    assert wire.mux.counters.as_dict() == {"no_consent": 1}


async def test_a_reader_that_stalls_loses_the_newest_datagrams(wire: Wire) -> None:
    for number in range(QUEUE_SIZE + 10):
        wire.transport.datagram(b"\x80" + number.to_bytes(2, "big"))
    assert wire.mux.counters.as_dict() == {"session_behind": 10}
    assert await wire.transport._recv() == b"\x80\x00\x00"


@pytest.mark.parametrize("waiting", [0, QUEUE_SIZE])
async def test_after_the_end_reading_and_sending_fail(wire: Wire, waiting: int) -> None:
    for _ in range(waiting):
        wire.transport.datagram(b"\x80")
    await wire.transport.stop()
    for _ in range(waiting - 1):  # one made room for the end
        await wire.transport._recv()
    with pytest.raises(ConnectionError):
        await wire.transport._recv()
    with pytest.raises(ConnectionError):
        await wire.transport._send(HELLO)
    await wire.transport.start(None)  # type: ignore[arg-type]  # returns, though nobody came


async def test_two_transports_never_share_a_ufrag(wire: Wire, credentials: Credentials) -> None:
    drawn = iter([credentials, credentials, Credentials("other", credentials.password)])
    transport = LiteTransport(wire.mux, [], lambda: next(drawn))
    assert transport.agent.credentials.ufrag == "other"
    await transport.stop()
