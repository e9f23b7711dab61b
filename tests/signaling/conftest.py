"""Signaling's neighbours for its tests: a real transceiver, and control APIs that misbehave."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection

from relay.config.registry import Registry, Relay, Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.pool import PoolConfig
from signaling.server import SignalingServer
from transceiver.server import Transceiver as RealTransceiver
from transceiver.server import TransceiverConfig

ANYWHERE = Endpoint("127.0.0.1", 0)
# Servers and pool share a process, which may pause longer than a short limit lets it.
POOL = PoolConfig(poll_interval=0.02, poll_timeout=5.0, control_timeout=5.0, placement_timeout=15.0)

Serve = Callable[..., AbstractAsyncContextManager[SignalingServer]]


@pytest.fixture
async def transceiver() -> AsyncIterator[RealTransceiver]:
    """A real transceiver on loopback."""
    keys = KeyRing.generate(os.urandom)
    config = TransceiverConfig(ANYWHERE, ANYWHERE, Target(1, 5, 9), keys)
    async with RealTransceiver(config) as running:
        yield running


@pytest.fixture
def serve() -> Serve:
    """Serve signaling on loopback for control APIs given as (target, control URL)."""

    @asynccontextmanager
    async def serving(
        *controls: tuple[Target, str],
        advertise: Endpoint | None = None,
        relays: tuple[Relay, ...] = (),
        pool: PoolConfig = POOL,
    ) -> AsyncIterator[SignalingServer]:
        registry = Registry(
            tuple(
                Transceiver(target, Endpoint("127.0.0.1", 5000 + number), url)
                for number, (target, url) in enumerate(controls)
            ),
            relays=relays or (Relay(advertise or Endpoint("203.0.113.10", 3478)),),
        )
        async with SignalingServer(ANYWHERE, registry, random=Random(1), pool=pool) as server:
            yield server

    return serving


@pytest.fixture
async def real_server(serve: Serve, transceiver: RealTransceiver) -> AsyncIterator[SignalingServer]:
    """Signaling before a real transceiver, which it advertises itself: there is no relay."""
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(controls, advertise=transceiver.address, pool=PoolConfig()) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def offer() -> str:
    """An offer with audio and a data channel, as a client makes it."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio")
    connection.createDataChannel("oai-events")
    await connection.setLocalDescription(await connection.createOffer())
    sdp: str = connection.localDescription.sdp
    await connection.close()
    return sdp


@dataclass
class Control:
    """A control API over real HTTP that does what a test tells it.

    Attributes:
        health: What it says of its health.
        created: Status and body with which it answers offers.
        delay: Seconds before any answer.
        thinking: Seconds more before the answer to an offer.
        offers: What it was offered.
    """

    health: dict[str, Any] = field(
        default_factory=lambda: {"sessions": 0, "capacity": 10, "draining": False}
    )
    created: tuple[int, Any] = (201, {"id": "rtc_abc", "sdp": "v=0\r\n"})
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    thinking: float = 0.0
    offers: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def on_health(self, _: web.Request) -> web.Response:
        await asyncio.sleep(self.delay)
        return web.json_response(self.health)

    async def on_create(self, request: web.Request) -> web.Response:
        self.offers.append(await request.json())
        await asyncio.sleep(self.delay + self.thinking)
        status, body = self.created
        return web.json_response(body, status=status, headers=self.headers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Control"]:
        application = web.Application()
        application.router.add_get("/v1/health", self.on_health)
        application.router.add_post("/v1/sessions", self.on_create)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, *ANYWHERE).start()
        self.url = f"http://{Endpoint.of(runner.addresses[0])}"
        yield self
        await runner.cleanup()


@pytest.fixture
def control() -> type[Control]:
    """The class of control APIs that do what a test tells them."""
    return Control
