"""A Realtime service that does what a test wants, on a real WebSocket."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from relay.httpedge import lift_time_limit
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from transceiver.media.codec import SAMPLE_RATE

ANYWHERE = Endpoint("127.0.0.1", 0)


def beep(seconds: float, hertz: float = 440.0) -> bytes:
    """A tone, as PCM of 24 kHz."""
    phase = 2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.sin(phase)).astype("<i2").tobytes()


@dataclass
class Connection:
    """One connection to the service.

    Attributes:
        request: Its handshake.
        socket: The WebSocket.
        received: Events that came, but for sound.
        sound: Bytes of sound that came.
        arrivals: When an event of sound came, in seconds since 1970, and the bytes of sound since
            the connection began.
    """

    request: web.Request
    socket: web.WebSocketResponse
    received: list[dict[str, Any]] = field(default_factory=list)
    sound: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    async def send(self, kind: str, **content: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, "event_id": "event_s", **content}))

    async def say(
        self, pcm: bytes, *, response: str = "resp_1", item: str = "item_1", size: int = 4800
    ) -> None:
        """Send sound, as fast as it goes, in the order of a spoken turn."""
        await self.send("response.created", response={"id": response})
        for start in range(0, len(pcm), size):
            await self.send(
                "response.output_audio.delta",
                response_id=response,
                item_id=item,
                output_index=0,
                content_index=0,
                delta=base64.b64encode(pcm[start : start + size]).decode(),
            )

    def kinds(self) -> list[str]:
        return [each["type"] for each in self.received]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.received if each["type"] == kind]


Script = Callable[[Connection], Awaitable[None]]


async def greet(connection: Connection) -> None:
    """What every service does first."""
    detection = {"type": "server_vad", "interrupt_response": True}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    await connection.send("session.created", session={"id": "sess_1", **session})


class RealtimeService:
    """A service.

    Attributes:
        script: What a connection does first.
        answers: By the kind of an event, what follows on it.
        connections: All that were made.
        refuse: The HTTP status of handshakes that fail; None for none.
        reads: Set while it reads at all.
    """

    def __init__(self) -> None:
        self.script: Script = greet
        self.answers: dict[str, Callable[[Connection, dict[str, Any]], Awaitable[None]]] = {}
        self.connections: list[Connection] = []
        self.refuse: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.address = ANYWHERE

    @property
    def url(self) -> str:
        return f"ws://{self.address}/v1/realtime"

    @property
    def connection(self) -> Connection:
        return self.connections[-1]

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refuse is not None:
            return web.Response(status=self.refuse)
        socket = web.WebSocketResponse(compress=False, max_msg_size=32 << 20)
        await socket.prepare(request)
        lift_time_limit(request)
        connection = Connection(request, socket)
        self.connections.append(connection)
        await self.script(connection)
        await self.reads.wait()
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            event = json.loads(message.data)
            if event["type"] == "input_audio_buffer.append" and "event_id" not in event:
                connection.sound += base64.b64decode(event["audio"])
                connection.arrivals.append((time.time(), len(connection.sound)))
                continue
            connection.received.append(event)
            if event["type"] in self.answers:
                await self.answers[event["type"]](connection, event)
        return socket


@asynccontextmanager
async def serving(listen: Endpoint = ANYWHERE) -> AsyncIterator[RealtimeService]:
    """A service, on loopback, while the context is entered."""
    made = RealtimeService()
    async with serve_http(made.application(), listen, "a service of a test") as address:
        made.address = address
        yield made
