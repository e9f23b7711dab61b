"""What a second of sound costs on the WebSocket to a service, by the length of its events."""

import asyncio
import base64
import json
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import WSMsgType, web

from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from transceiver.bridge import events
from transceiver.media.codec import FRAME_BYTES

_SECONDS = 60  # of sound, for each way
_ROUNDS = 5
_FRAMES = (1, 2, 3, 5)


@dataclass(frozen=True, slots=True)
class Cost:
    """A second of sound, 48,000 bytes of PCM.

    Attributes:
        what: How it is sent.
        milliseconds: Of sound in a message.
        bytes: On the wire, heads of WebSocket frames included.
        microseconds: Of processor time for both ends, least of the rounds.
    """

    what: str
    milliseconds: int
    bytes: int
    microseconds: float


def measure_sound() -> list[Cost]:
    """Measure events with base64, and binary messages with nothing but the sound."""
    return asyncio.run(_measure())


async def _measure() -> list[Cost]:
    app = web.Application()
    app.router.add_get("/", _drain)
    costs = []
    async with (
        serve_http(app, Endpoint("127.0.0.1", 0), "a benchmark") as address,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{address}/", compress=0) as socket,
    ):
        for is_binary in (False, True):
            for frames in _FRAMES:
                spent = min([await _send(socket, frames, is_binary) for _ in range(_ROUNDS)])
                pcm = bytes(frames * FRAME_BYTES)
                size = len(pcm) if is_binary else len(events.append(pcm))
                head = 8  # two bytes, two of the length, four of the mask
                what = "binary" if is_binary else "base64 in an event"
                costs.append(
                    Cost(what, frames * 20, (size + head) * 50 // frames, spent / _SECONDS * 1e6)
                )
    return costs


async def _send(socket: aiohttp.ClientWebSocketResponse, frames: int, is_binary: bool) -> float:
    """Processor time, in seconds, to send and receive `_SECONDS` of sound."""
    pcm = bytes(range(240)) * (frames * FRAME_BYTES // 240)
    began = time.process_time()
    for _ in range(_SECONDS * 50 // frames):
        if is_binary:
            await socket.send_bytes(pcm)
        else:
            await socket.send_str(events.append(pcm))
    await socket.send_str('{"type": "end"}')
    await socket.receive()
    return time.process_time() - began


async def _drain(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            event = json.loads(message.data)
            if event["type"] == "end":
                await socket.send_str("done")
            else:
                base64.b64decode(event["audio"])
    return socket
