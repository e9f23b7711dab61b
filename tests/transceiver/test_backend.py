"""The echo backend, with tracks and data channels of aiortc."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from transceiver.backend import EVENTS_LABEL, MAX_WAITING_FRAMES, EchoBackend, EchoTrack

Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Frames(MediaStreamTrack):
    """A track of numbered frames, `pause` seconds apart, then the end."""

    kind = "audio"

    def __init__(self, count: int, pause: float = 0.0) -> None:
        super().__init__()
        self.given = 0
        self._count = count
        self._pause = pause

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(self._pause)
        if self.given == self._count:
            raise MediaStreamError
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        frame.pts = self.given
        self.given += 1
        return frame


async def play(track: MediaStreamTrack) -> list[int | None]:
    """The numbers of a track's frames, up to its end."""
    numbers = []
    async with asyncio.timeout(5):
        while True:
            try:
                numbers.append((await track.recv()).pts)
            except MediaStreamError:
                return numbers


async def test_an_echo_plays_all_frames_and_ends_with_its_source() -> None:
    echo = EchoBackend("rtc_x").audio(Frames(5))
    assert await play(echo) == [0, 1, 2, 3, 4]
    assert echo.readyState == "ended"


async def test_an_echo_that_nobody_reads_drops_the_oldest_frames(until: Until) -> None:
    source = Frames(3 * MAX_WAITING_FRAMES)
    echo = EchoTrack(source)
    await until(echo._pump.done)
    assert source.given == 3 * MAX_WAITING_FRAMES
    # The end takes the place of a frame.
    assert await play(echo) == list(range(2 * MAX_WAITING_FRAMES + 1, 3 * MAX_WAITING_FRAMES))


async def test_a_session_that_ends_stops_its_echo(until: Until) -> None:
    backend = EchoBackend("rtc_x")
    source = Frames(1_000_000, pause=0.001)
    echo = backend.audio(source)
    assert isinstance(echo, EchoTrack)
    assert (await echo.recv()).pts == 0
    backend.close()
    await until(echo._pump.cancelled)
    with pytest.raises(MediaStreamError):
        await echo.recv()


class Channel:
    """A data channel between a client and a backend, over two connected peers."""

    def __init__(self) -> None:
        self.client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.server = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.received: list[str | bytes] = []

    async def open(self, label: str, backend: EchoBackend) -> RTCDataChannel:
        channel = self.client.createDataChannel(label)
        channel.on("message", self.received.append)
        self.server.on("datachannel", backend.channel)
        await self.client.setLocalDescription(await self.client.createOffer())
        await self.server.setRemoteDescription(self.client.localDescription)
        await self.server.setLocalDescription(await self.server.createAnswer())
        await self.client.setRemoteDescription(self.server.localDescription)
        return channel


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    made = Channel()
    yield made
    await asyncio.gather(made.client.close(), made.server.close())


async def test_the_events_channel_speaks_the_realtime_api(channel: Channel, until: Until) -> None:
    client = await channel.open(EVENTS_LABEL, EchoBackend("rtc_x"))
    await until(lambda: len(channel.received) == 1)
    created = json.loads(channel.received[0])
    assert created["type"] == "session.created"
    assert created["session"] == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "rtc_x",
        "model": "echo",
    }
    for session in ({"voice": "marin"}, {"speed": 1.5, "id": "rtc_y"}, "no object"):
        client.send(json.dumps({"type": "session.update", "session": session}))
    await until(lambda: len(channel.received) == 4)
    first, second, third = (json.loads(each) for each in channel.received[1:])
    assert (first["type"], first["session"]["voice"]) == ("session.updated", "marin")
    updated = {name: second["session"][name] for name in ("voice", "speed", "id")}
    assert updated == {"voice": "marin", "speed": 1.5, "id": "rtc_x"}, "updates add up"
    assert third["type"] == "error"
    assert len({event["event_id"] for event in (created, first, second, third)}) == 4


async def test_another_channel_is_an_echo_only(channel: Channel, until: Until) -> None:
    client = await channel.open("chat", EchoBackend("rtc_x"))
    await until(lambda: client.readyState == "open")
    update = json.dumps({"type": "session.update", "session": {}})
    for message in (update, b"\x00bytes", "text"):
        client.send(message)
    await until(lambda: len(channel.received) == 3)
    assert channel.received == [update, b"\x00bytes", "text"]
