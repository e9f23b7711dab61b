"""A client in a lab that speaks as a person does: a question now and then, and quiet between."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Any

import aiohttp

from signaling.callid import CALLS
from tests.bench.errors import BenchError
from tests.bench.turn.question import first_loud, is_loud, quiet
from tests.lab.config import SIGNALING_URL
from tests.lab.lab import Lab
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.thinsctp import DCEP, STRING, open_channel
from tests.lab.topology import CLIENT
from transceiver.media import rtp
from transceiver.media.opus import OpusDecoder, OpusEncoder
from transceiver.media.opussettings import OpusSettings

FRAME = 0.02  # seconds
_PATIENCE, _RETRY = 15.0, 0.5  # seconds that a call is tried to be placed, and between two tries
_CHANNEL = 0  # the client's first stream: it is the DTLS client
_LEVEL = 1  # the extension of the client's offer that tells how loud a packet is (RFC 6464)
_AUDIBLE = 50  # dB below full scale: what is quieter is no speech
_QUIETS = [quiet(seed) for seed in range(50)]


@dataclass(frozen=True, slots=True)
class Said:
    """A question that was sent.

    Attributes:
        first: The sequence number of the packet in which speech begins.
        last: That of the packet in which it ends.
    """

    first: int
    last: int


class Talker(ThinClient):
    """See the module.

    Attributes:
        audible: When packets came in which something is heard, in seconds since 1970.
        events: What came on the channel of events, and when.
    """

    def __init__(self, random: Random) -> None:
        super().__init__(new_identity(), random, data=True)
        self.audible: list[float] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._encoder, self._decoder = OpusEncoder(OpusSettings()), OpusDecoder()
        self._waiting: deque[bytes] = deque()
        self._sent: list[tuple[int, bytes]] = []  # of the question: number, and what it sounds like
        self._said = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See `ThinClient`."""
        sounds, messages = self.heard.rtp, len(self.sctp.messages)
        super().datagram_received(data, addr)
        now = time.time()
        if self.heard.rtp > sounds and _is_audible(self.heard.last[-1]):
            self.audible.append(now)
        for _, protocol, message in self.sctp.messages[messages:]:
            if protocol == STRING:
                self.events.append((now, json.loads(message)))

    async def open_events(self) -> None:
        """Open the channel of events."""
        await self.sctp.associate()
        self.sctp.say(_CHANNEL, DCEP, open_channel(b"oai-events"))

    async def talk(self) -> None:
        """Speak what is to be spoken, and else send the quiet of a room, at its pace."""
        due, number = time.monotonic(), 0
        while True:
            frame = self._waiting.popleft() if self._waiting else None
            sequence = self.sequence
            payload = self._encoder.encode(frame or _QUIETS[number % len(_QUIETS)])
            self.speak(payload)
            sound = self._decoder.decode(payload)
            if frame is not None:
                self._sent.append((sequence, sound))
                if not self._waiting:
                    self._said.set()
            number += 1
            due += FRAME
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def ask(self, question: Sequence[bytes]) -> Said:
        """Say a question; returns once it is said."""
        self._sent.clear()
        self._said.clear()
        self._waiting.extend(question)
        await self._said.wait()
        loud = [number for number, sound in self._sent if is_loud(sound)]
        if not loud or first_loud(self._sent[0][1]) is not None:
            raise BenchError("the question does not begin and end in quiet")
        return Said(loud[0], loud[-1])

    def when(self, kind: str, since: float) -> float | None:
        """When the first event of a kind came at or after a moment; None before it does."""
        return next(
            (at for at, event in self.events if at >= since and event["type"] == kind), None
        )


def _is_audible(packet: bytes) -> bool:
    level = rtp.parse(packet).extensions.get(_LEVEL)
    return level is not None and (level[0] & 0x7F) <= _AUDIBLE


@asynccontextmanager
async def talking(lab: Lab, random: Random) -> AsyncIterator[Talker]:
    """A call of a talker in a lab's client, while the context is entered.

    Raises:
        BenchError: Signaling refuses it.
    """
    client = Talker(random)
    with lab.hosts[CLIENT].inside():
        await client.open(await _answer(client.offer))
    await client.check()
    await client.shake_hands()
    await client.open_events()
    task = asyncio.create_task(client.talk())
    try:
        yield client
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        client.close(goodbye=True)


async def _answer(offer: str) -> str:
    """Signaling's answer; it may take a while to find a transceiver that has just started."""
    deadline = time.monotonic() + _PATIENCE
    head = {"Content-Type": "application/sdp"}
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.post(SIGNALING_URL + CALLS, data=offer, headers=head) as placed:
                answer = await placed.text()
            if placed.status == HTTPStatus.CREATED:
                return answer
            if placed.status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise BenchError(f"signaling answered {placed.status}: {answer[:200]}")
            await asyncio.sleep(_RETRY)
