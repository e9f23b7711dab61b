"""What the transceiver's tests share: STUN checks, a client that calls, a transceiver."""

import array
import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import aiohttp
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from relay.wire.transport import Candidate
from tests.lab.realtimeservice import RealtimeService, serving
from tests.transceiver.muxbench import Bench, Until
from transceiver.bridge.table import Service, Table
from transceiver.plan import Credentials
from transceiver.server import Transceiver, TransceiverConfig

CREDENTIALS = Credentials("serverufrag", "server-password-of-24-ch")
TARGET = Target(7, 42, 3)
PATIENCE = 10.0  # seconds to wait for a condition before a test fails
SAMPLES = 960  # of a 20 ms frame at 48 kHz


@dataclass
class Checks:
    """Makes connectivity checks, each with a transaction of its own."""

    credentials: Credentials
    _numbers: Any = field(default_factory=itertools.count)

    def __call__(
        self,
        *extra: tuple[int, bytes],
        nominate: bool = False,
        controlled: bool = False,
        credentials: Credentials | None = None,
        transaction: bytes | None = None,
    ) -> bytes:
        ufrag, password = credentials or self.credentials
        role = Attribute.ICE_CONTROLLED if controlled else Attribute.ICE_CONTROLLING
        nomination = [(Attribute.USE_CANDIDATE, b"")] if nominate else []
        return Message(
            MessageClass.REQUEST,
            BINDING,
            transaction or next(self._numbers).to_bytes(12, "big"),
            (
                (Attribute.USERNAME, f"{ufrag}:client".encode()),
                (Attribute.PRIORITY, bytes(4)),
                (role, bytes(8)),
                *nomination,
                *extra,
            ),
        ).serialize(password.encode())


@pytest.fixture
def check() -> Checks:
    return Checks(CREDENTIALS)


@pytest.fixture
def credentials() -> Credentials:
    return CREDENTIALS


@pytest.fixture
def target() -> Target:
    return TARGET


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing.generate(random.Random(1).randbytes)


@pytest.fixture
async def bench(keys: KeyRing, target: Target) -> AsyncIterator[Bench]:
    made = Bench(keys, target)
    made.mux.open()
    yield made
    made.close()


@pytest.fixture
def until() -> Until:
    """Waits for a condition; fails when it does not come true."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  # conditions on foreign objects
                await asyncio.sleep(0.01)

    return wait


class Tone(MediaStreamTrack):
    """A 440 Hz tone in real time, mono."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._next = 0
        self._began: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._next / 48000 - loop.time()))
        wave = (math.sin(2 * math.pi * 440 * (self._next + i) / 48000) for i in range(SAMPLES))
        frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        frame.planes[0].update(array.array("h", (int(8000 * v) for v in wave)).tobytes())
        frame.sample_rate = 48000
        frame.pts, frame.time_base = self._next, Fraction(1, 48000)
        self._next += SAMPLES
        return frame


class Caller:
    """A real client: aiortc with its own ICE, DTLS and SRTP.

    Attributes:
        loudness: RMS of each audio frame that came back.
        messages: What came on the data channel `oai-events`.
    """

    def __init__(self, control: Endpoint, *, channel: bool = True, audio: bool = True) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if audio:
            self.pc.addTrack(Tone())
        self.channel = self.pc.createDataChannel("oai-events") if channel else None
        self.loudness: list[int] = []
        self.messages: list[str] = []
        self.id = ""
        self.answer = ""
        self._control = control
        self._tasks: set[asyncio.Task[None]] = set()
        if self.channel:
            self.channel.on("message", self.messages.append)
        self.pc.on("track", self._listen)

    async def call(
        self,
        *candidates: Endpoint | Candidate,
        offer: Callable[[str], str] = str,
        answer: Callable[[str], str] = str,
        **more: Any,
    ) -> None:
        """Place the call; `offer` and `answer` may rewrite the descriptions on their way.

        What else is given goes into the request.
        """
        await self.pc.setLocalDescription(await self.pc.createOffer())
        told = [each if isinstance(each, Candidate) else Candidate(each) for each in candidates]
        body = {
            "sdp": offer(self.pc.localDescription.sdp),
            "candidates": [each.dump() for each in told],
            **more,
        }
        status, reply = await self.request("POST", "/v1/sessions", body)
        assert status == 201, reply
        self.id, self.answer = reply["id"], reply["sdp"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer(self.answer), "answer"))

    async def request(
        self, method: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any]]:
        """Use the control API."""
        url = f"http://{self._control}{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, json=body) as response,
        ):
            return response.status, await response.json()

    async def stats(self) -> dict[str, Any]:
        _, stats = await self.request("GET", f"/v1/sessions/{self.id}")
        return stats

    def hears(self, frames: int) -> bool:
        """Whether the last frames that came back have energy, and are that many."""
        return len(self.loudness) >= frames and min(self.loudness[-frames:]) > 1000

    def _listen(self, track: MediaStreamTrack) -> None:
        task = asyncio.ensure_future(self._read(track))
        self._tasks.add(task)

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                samples = array.array("h", bytes(frame.planes[0])[: frame.samples * 4])  # stereo
                self.loudness.append(round(math.sqrt(sum(s * s for s in samples) / len(samples))))
        except MediaStreamError:
            return


@pytest.fixture
async def transceiver(keys: KeyRing) -> AsyncIterator[Transceiver]:
    """One on loopback, on ports of its own."""
    anywhere = Endpoint("127.0.0.1", 0)
    config = TransceiverConfig(anywhere, anywhere, TARGET, keys, capacity=3)
    async with Transceiver(config) as running:
        yield running


@pytest.fixture
async def dial() -> AsyncIterator[Callable[..., Caller]]:
    """Makes clients of a control API and closes them."""
    made: list[Caller] = []

    def make(control: Endpoint, **options: bool) -> Caller:
        made.append(Caller(control, **options))
        return made[-1]

    yield make
    await asyncio.gather(*(one.pc.close() for one in made))


@pytest.fixture
def caller(transceiver: Transceiver, dial: Callable[..., Caller]) -> Callable[..., Caller]:
    """Makes clients of the transceiver."""
    return lambda **options: dial(transceiver.control, **options)


@pytest.fixture
async def service() -> AsyncIterator[RealtimeService]:
    """A Realtime service that is the back end of `bridged`."""
    async with serving() as made:
        yield made


@pytest.fixture
async def bridged(service: RealtimeService, keys: KeyRing) -> AsyncIterator[Transceiver]:
    """A transceiver whose calls a service answers."""
    anywhere, table = Endpoint("127.0.0.1", 0), Table((Service("test", service.url),))
    config = TransceiverConfig(anywhere, anywhere, TARGET, keys, capacity=3, table=table)
    async with Transceiver(config) as running:
        yield running
