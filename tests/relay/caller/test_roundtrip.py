"""The round trip over a real data channel, whose other side a test plays."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection

from relay.caller.roundtrip import DataChannelRoundTrip

LIMIT = 5.0  # seconds


class OtherSide:
    """Answers an offer with a data channel, and queues what comes on it."""

    def __init__(self) -> None:
        self.client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.opened: asyncio.Future[RTCDataChannel] = asyncio.get_running_loop().create_future()
        self.peer.on("datachannel", self._open)

    def _open(self, channel: RTCDataChannel) -> None:
        channel.on("message", self.events.put_nowait)
        self.opened.set_result(channel)

    async def connect(self) -> RTCDataChannel:
        await self.client.setLocalDescription(await self.client.createOffer())
        await self.peer.setRemoteDescription(self.client.localDescription)
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        await self.client.setRemoteDescription(self.peer.localDescription)
        return await asyncio.wait_for(self.opened, LIMIT)

    async def event(self) -> dict[str, object]:
        event: dict[str, object] = json.loads(await asyncio.wait_for(self.events.get(), LIMIT))
        return event


@pytest.fixture
async def other() -> AsyncIterator[OtherSide]:
    made = OtherSide()
    yield made
    await asyncio.gather(made.client.close(), made.peer.close())


async def received(channel: RTCDataChannel, count: int) -> None:
    """Wait until a channel has received so many messages more."""
    arrived: asyncio.Queue[object] = asyncio.Queue()
    channel.on("message", arrived.put_nowait)
    async with asyncio.timeout(LIMIT):
        for _ in range(count):
            await arrived.get()


async def test_the_time_from_the_event_to_its_answer_is_measured(other: OtherSide) -> None:
    channel = other.client.createDataChannel("oai-events")
    measured = DataChannelRoundTrip(channel)
    assert (measured.opened, measured.seconds) == (None, None)
    far = await other.connect()
    assert (await other.event())["type"] == "session.update"
    assert measured.opened is not None
    assert measured.seconds is None
    await asyncio.sleep(0.1)  # the time that the answer takes
    far.send(json.dumps({"type": "session.updated"}))
    await received(channel, 1)
    assert measured.seconds is not None
    assert 0.1 <= measured.seconds < 2


@pytest.mark.parametrize(
    "answer", ['{"type": "error"}', "no JSON", '"text"', b"\xff"], ids=["error", "text", "s", "b"]
)
async def test_a_greeting_is_no_answer_and_anything_else_is(
    other: OtherSide, answer: str | bytes
) -> None:
    channel = other.client.createDataChannel("oai-events")
    measured = DataChannelRoundTrip(channel)
    far = await other.connect()
    await other.event()
    far.send(json.dumps({"type": "session.created"}))
    await received(channel, 1)
    assert measured.seconds is None
    far.send(answer)
    await received(channel, 1)
    assert measured.seconds is not None


async def test_the_first_answer_counts(other: OtherSide) -> None:
    channel = other.client.createDataChannel("oai-events")
    measured = DataChannelRoundTrip(channel)
    far = await other.connect()
    await other.event()
    far.send("first")
    await received(channel, 1)
    first = measured.seconds
    assert first is not None
    far.send("second")
    await received(channel, 1)
    assert measured.seconds == first
