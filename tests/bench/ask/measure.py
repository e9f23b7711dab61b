"""How long a client that has moved to another relay is not heard: real agent, muxes and Redis."""

import asyncio
import multiprocessing
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relay.config.directory import Directory
from relay.config.registry import Registry, Transceiver
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.mirror.record import Record, key_of
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.bench.ask.transceivers import Fleet, address, serve, target
from tests.bench.errors import BenchError
from tests.bench.mirror.server import Server, serving
from tests.ports import free_port

ASKED, REDIS = "transceivers", "Redis"
HOST = "127.0.0.1"
RTP = bytes([0x80]) + bytes(171)
_PATIENCE = 300.0  # seconds for transceivers to start
_SETTLE = 0.5  # seconds
_LIMIT = 30.0  # seconds for the last client to be heard


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of clients that moved, milliseconds and microseconds.

    Attributes:
        source: Who tells whose they are.
        transceivers: How many there are.
        at_once: How many clients move together.
        clients: How many moved in all.
        heard: How many were heard again by their first packet.
        p50: Milliseconds from the packet's sending to the transceiver's having it, the median.
        p99: The same of the hundredth part that takes the longest.
        most: The longest.
        relay_us: Processor time of the relay's process, of each client, and of who sends.
        transceiver_us: Of one transceiver, of each client.
    """

    source: str
    transceivers: int
    at_once: int
    clients: int
    heard: int
    p50: float
    p99: float
    most: float
    relay_us: float
    transceiver_us: float

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return asdict(self)


async def measure(source: str, count: int, at_once: int, clients: int) -> Figures:
    """Let clients move, so many together.

    Raises:
        BenchError: Redis is not installed.
    """
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        redis = stack.enter_context(serving()) if source == REDIS else None
        sockets = [stack.enter_context(_client()) for _ in range(clients)]
        places = [Endpoint.of(each.getsockname()) for each in sockets]
        keys = KeyRing.generate(secrets.token_bytes)
        fleet = Fleet(keys, count, places, Endpoint(HOST, free_port(HOST)), time.time())
        return await _Run(fleet, at_once, sockets, Path(directory), redis).measure()


def _client() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((HOST, 0))
    return udp


class _Run:
    def __init__(
        self,
        fleet: Fleet,
        at_once: int,
        sockets: Sequence[socket.socket],
        directory: Path,
        redis: Server | None,
    ) -> None:
        self._fleet = fleet
        self._at_once = at_once
        self._sockets = sockets
        self._redis = redis
        self._config = RelayConfig(
            vips=(fleet.vip,),
            upstreams=(HOST,),
            keys=directory / "keys.toml",
            dataplane=DataplaneChoice.USERSPACE,
            admin=directory / "admin.sock",
            redis=redis.url if redis is not None else None,
            name="second",
        )

    async def measure(self) -> Figures:
        async with self._transceivers() as pipe, self._relay():
            if self._redis is not None:
                self._write_records(self._redis)
            cpu = time.process_time()
            sent = await self._move()
            heard, theirs = await self._heard(pipe)
            cpu = time.process_time() - cpu
        gaps = sorted(
            1000 * (at - since) for at, since in zip(heard, sent, strict=True) if at is not None
        )
        if not gaps:
            raise BenchError("no client was heard again")
        clients = len(sent)
        return Figures(
            REDIS if self._redis is not None else ASKED,
            self._fleet.count,
            self._at_once,
            clients,
            len(gaps),
            gaps[len(gaps) // 2],
            gaps[len(gaps) * 99 // 100],
            gaps[-1],
            1e6 * cpu / clients,
            1e6 * theirs / clients / self._fleet.count,
        )

    async def _move(self) -> list[float]:
        """Let each client send its first packet; when that was."""
        sent = []
        for number, each in enumerate(self._sockets, 1):
            sent.append(time.monotonic())
            each.sendto(RTP, self._fleet.vip)
            if number % self._at_once == 0:
                # A second for a hundred: more are not asked for, of 200 transceivers.
                await asyncio.sleep(max(0.05, 0.01 * self._at_once))
        return sent

    async def _heard(self, pipe: Any) -> tuple[list[float | None], float]:
        """When each client was heard, and the transceivers' time; soon after the last one was."""
        deadline = time.monotonic() + _LIMIT
        while True:
            await asyncio.sleep(_SETTLE)
            pipe.send(True)
            heard, theirs = await asyncio.to_thread(pipe.recv)
            if None not in heard or time.monotonic() > deadline:
                return heard, theirs

    @asynccontextmanager
    async def _transceivers(self) -> AsyncIterator[Any]:
        context = multiprocessing.get_context("spawn")
        pipe, there = context.Pipe()
        process = context.Process(target=serve, args=(there, self._fleet), daemon=True)
        process.start()
        there.close()  # or nobody would notice the other's end
        try:
            await asyncio.wait_for(asyncio.to_thread(pipe.recv), _PATIENCE)
            yield pipe
        finally:
            with suppress(OSError):  # it may have ended by itself
                pipe.send(False)
            process.join(_SETTLE)
            process.kill()

    @asynccontextmanager
    async def _relay(self) -> AsyncIterator[None]:
        registry = Registry(
            tuple(
                Transceiver(target(number), address(number)) for number in range(self._fleet.count)
            )
        )
        async with Agent(self._config, self._fleet.keys, Directory(registry), UserspaceDataplane()):
            await asyncio.sleep(_SETTLE)  # the mirror has read what is there: nothing
            yield

    def _write_records(self, redis: Server) -> None:
        """As the relay that is no more has left them; nobody is told, so they are looked up."""
        for flow in self._fleet.flows():
            value = Record(flow, "first", 1, time.time()).serialize(self._fleet.keys)
            redis.client.set(key_of(flow.client, flow.vip), value)
