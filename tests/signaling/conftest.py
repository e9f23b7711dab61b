"""Signaling's neighbours for its tests: a real transceiver, and control APIs that misbehave."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiortc import RTCConfiguration, RTCPeerConnection

from relay.config.directory import Directory
from relay.config.registry import Registry, Relay, Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.auth.apikeys import new_key
from signaling.auth.privatefiles import change_api_keys
from signaling.callid import CALLS
from signaling.members import PoolConfig
from signaling.server import SignalingServer
from transceiver.server import Transceiver as RealTransceiver
from transceiver.server import TransceiverConfig

ANYWHERE = Endpoint("127.0.0.1", 0)
# Servers and pool share a process, which may pause longer than a short limit lets it.
POOL = PoolConfig(poll_interval=0.02, poll_timeout=5.0, control_timeout=5.0, placement_timeout=15.0)

SELDOM = PoolConfig(poll_interval=60.0)  # no heartbeat comes while a test runs

SDP = {"Content-Type": "application/sdp"}
AUDIO = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"

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
        **door: Any,
    ) -> AsyncIterator[SignalingServer]:
        registry = Registry(
            tuple(
                Transceiver(target, Endpoint("127.0.0.1", 5000 + number), url)
                for number, (target, url) in enumerate(controls)
            ),
            relays=relays or (Relay(advertise or Endpoint("203.0.113.10", 3478)),),
        )
        server = SignalingServer(ANYWHERE, Directory(registry), random=Random(1), pool=pool, **door)
        async with server:
            yield server

    return serving


@pytest.fixture
async def real_server(serve: Serve, transceiver: RealTransceiver) -> AsyncIterator[SignalingServer]:
    """Signaling before a real transceiver, which it advertises itself: there is no relay."""
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(controls, advertise=transceiver.address, pool=PoolConfig()) as server:
        yield server


@pytest.fixture
async def between_heartbeats(
    serve: Serve, transceiver: RealTransceiver
) -> AsyncIterator[SignalingServer]:
    """The same, without a heartbeat while a test runs."""
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(controls, advertise=transceiver.address, pool=SELDOM) as server:
        yield server


@dataclass
class Keys:
    """A file of API keys.

    Attributes:
        path: The file.
        texts: The keys, by their names.
    """

    path: Path
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, **more: Any) -> dict[str, str]:
        """Add a key; the header that has it."""
        key, self.texts[name] = new_key(name, os.urandom(32), datetime.now(UTC), **more)
        change_api_keys(self.path, lambda keys: keys.with_key(key))
        return bearer(self.texts[name])

    def revoke(self, name: str) -> None:
        """Take a key away."""
        change_api_keys(self.path, lambda keys: keys.without(name))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A file of API keys, in which nobody is yet."""
    path = tmp_path / "keys.toml"
    change_api_keys(path, lambda keys: keys)
    return Keys(path)


def bearer(key: str) -> dict[str, str]:
    """The header that has a key."""
    return {"Authorization": f"Bearer {key}"}


async def until(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def place(http: aiohttp.ClientSession, server: SignalingServer, offer: str) -> str:
    """Place a call; its path."""
    async with http.post(server.url + CALLS, data=offer, headers=SDP) as response:
        assert response.status == 201, await response.text()
        return response.headers["Location"]


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


Talk = Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]


async def echo(_: web.Request, socket: web.WebSocketResponse) -> None:
    """Send back what comes, until the other side ends."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)


@dataclass
class Control:
    """A control API over real HTTP that does what a test tells it.

    Attributes:
        health: What it says of its health.
        created: Status and body with which it answers offers.
        delay: Seconds before any answer.
        thinking: Seconds more before the answer to an offer.
        offers: What it was offered.
        ended: Which sessions were ended.
        asked: How often it was asked for its health.
        listed: How often it was asked for its models.
        models: Status and body of its list of models.
        talks: How many WebSockets were wanted of it.
        talk: What it does on a WebSocket, which it gets with its request.
        refusal: A response in place of a WebSocket.
    """

    health: dict[str, Any] = field(
        default_factory=lambda: {"sessions": 0, "capacity": 10, "draining": False}
    )
    created: tuple[int, Any] = (201, {"id": "rtc_abc", "sdp": "v=0\r\n"})
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    thinking: float = 0.0
    offers: list[dict[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    asked: int = 0
    listed: int = 0
    models: tuple[int, Any] = (200, {"object": "list", "data": []})
    talks: int = 0
    talk: Talk = echo
    refusal: tuple[int, dict[str, str]] | None = None
    url: str = ""

    async def on_health(self, _: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.delay)
        return web.json_response(self.health)

    async def on_create(self, request: web.Request) -> web.Response:
        self.offers.append(await request.json())
        await asyncio.sleep(self.delay + self.thinking)
        status, body = self.created
        return web.json_response(body, status=status, headers=self.headers)

    async def on_models(self, _: web.Request) -> web.Response:
        self.listed += 1
        status, body = self.models
        return web.json_response(body, status=status)

    async def on_socket(self, request: web.Request) -> web.StreamResponse:
        self.talks += 1
        if self.refusal is not None:
            status, headers = self.refusal
            return web.Response(status=status, headers=headers)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await self.talk(request, socket)
        return socket

    async def on_delete(self, request: web.Request) -> web.Response:
        self.ended.append(request.match_info["id"])
        return web.json_response({})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Control"]:
        application = web.Application()
        application.router.add_get("/v1/health", self.on_health)
        application.router.add_post("/v1/sessions", self.on_create)
        application.router.add_delete("/v1/sessions/{id}", self.on_delete)
        application.router.add_get("/v1/models", self.on_models)
        application.router.add_get("/v1/realtime", self.on_socket)
        application.router.add_get("/v1/sessions/{id}/events", self.on_socket)
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
