"""An agent's surroundings on real sockets: clients and transceivers that are plain sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Container, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relay.config.directory import Directory
from relay.config.registry import Registry, Transceiver
from relay.core.flowtuple import FlowTuple
from relay.core.sleeping import route_word
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.executor import now
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from tests.ports import free_port
from tests.relay.conftest import FIRST, Scene

PORTS = range(20_000, 21_000)
WAIT = 5.0  # seconds until a datagram that must come has come


class Peer:
    """A UDP socket on the loopback, with what reached it."""

    def __init__(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind((host, 0))
        self._udp.setblocking(False)
        self.address = Endpoint.of(self._udp.getsockname())

    def send(self, data: bytes, to: Endpoint) -> None:
        self._udp.sendto(data, to)

    async def receive(self) -> tuple[bytes, Endpoint]:
        loop = asyncio.get_running_loop()
        data, source = await asyncio.wait_for(loop.sock_recvfrom(self._udp, 65_536), WAIT)
        return data, Endpoint.of(source)

    def has_datagram(self) -> bool:
        try:
            self._udp.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._udp.close()


class MemoryDataplane(UserspaceDataplane):
    """Keeps what is installed where a test can see it.

    What it has when an agent starts needs `steers`, as in the kernel: no socket is opened for it.
    What its transceiver sends then would have to be steered, and comes to nobody.
    """

    def __init__(self, room: int = 100) -> None:
        super().__init__()
        self.installed: list[FlowTuple] = []
        self._room = room

    def install(self, flow: FlowTuple) -> None:
        if len(self.installed) == self._room:
            raise DataplaneFull("no room")
        self.installed.append(flow)

    def remove(self, flow: FlowTuple) -> None:
        if flow in self.installed:
            self.installed.remove(flow)

    def tuples(self) -> Iterator[FlowTuple]:
        return iter(self.installed)

    def count(self) -> int:
        return len(self.installed)

    def adopt(self, vips: Container[Endpoint]) -> Iterator[tuple[bytes, int, bytes]]:
        for flow in self.installed:
            if flow.vip in vips:
                yield flow.packed_upstream[:-2], flow.upstream.port, b"\1"

    def routes(self) -> Iterator[int]:
        return (route_word(flow.route) for flow in self.installed)

    def of_client(self, ends: bytes) -> FlowTuple | None:
        return next((flow for flow in self.installed if flow.from_client == ends), None)

    def at_upstream(self, upstream: bytes) -> FlowTuple | None:
        return next((flow for flow in self.installed if flow.packed_upstream == upstream), None)


@dataclass
class Stage:
    """A relay's surroundings on the loopback."""

    host: str
    scene: Scene
    client: Peer
    transceiver: Peer
    config: RelayConfig

    @property
    def vip(self) -> Endpoint:
        return self.config.vips[0]

    @asynccontextmanager
    async def relay(
        self,
        dataplane: Dataplane | Awaitable[Dataplane] | None = None,
        directory: Directory | None = None,
        **changes: Any,
    ) -> AsyncIterator[Agent]:
        agent = Agent(
            replace(self.config, **changes),
            self.scene.keys,
            directory or Directory(self.scene.registry),
            dataplane or UserspaceDataplane(),
        )
        async with agent:
            yield agent

    async def check(self) -> tuple[bytes, Endpoint]:
        """The client's first check, and where from the transceiver got it."""
        request = self.scene.request()
        self.client.send(request, self.vip)
        upstream = await self.announced()
        assert await self.transceiver.receive() == (request, upstream)
        return request, upstream

    async def announced(self) -> Endpoint:
        """The upstream address from which the client is announced to the transceiver."""
        announcement, upstream = await self.transceiver.receive()
        told = Announcement.parse(announcement, self.scene.keys)
        assert (told.client, told.vip, told.upstream) == (self.client.address, self.vip, upstream)
        return upstream

    async def connect(self) -> Endpoint:
        """A check and its success; the upstream address."""
        request, upstream = await self.check()
        success = self.scene.answer(request)
        self.transceiver.send(success, upstream)
        assert await self.client.receive() == (success, self.vip)
        return upstream


def scene_now(**settings: Any) -> Scene:
    """A scene whose ufrags an agent takes: it looks at the clock on the wall."""
    return Scene(now=now(), **settings)


def stage_on(host: str, directory: Path) -> Iterator[Stage]:
    client, transceiver = Peer(host), Peer(host)
    registry = Registry((Transceiver(FIRST, transceiver.address),))
    config = RelayConfig(
        vips=(Endpoint(host, free_port(host)),),
        upstreams=(host,),
        keys=directory / "keys.toml",
        registry=directory / "registry.toml",
        ports=PORTS,
        dataplane=DataplaneChoice.USERSPACE,
        admin=directory / "admin.sock",
    )
    yield Stage(host, scene_now(registry=registry), client, transceiver, config)
    client.close()
    transceiver.close()
