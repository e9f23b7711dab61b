"""Calls that end in every way there is, some of them in the middle of their set-up."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from random import Random

import aiohttp

from signaling.callid import CALLS
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.thinsctp import DCEP, STRING, open_channel
from transceiver.media.codec import FRAME_BYTES
from transceiver.media.opus import OpusEncoder
from transceiver.media.opussettings import OpusSettings

TALK = 10  # packets of 20 ms


class Ending(Enum):
    """How a call ends; the value says it to people."""

    REFUSED = "its offer is bad"
    CANCELLED = "its client goes away before the answer"
    OFFERED = "its client vanishes after the answer"
    CHECKED = "after the first check"
    SHAKING = "in the middle of the handshake"
    CONNECTED = "when connected"
    TALKED = "after some words, with a data channel"
    CLOSED = "its client says goodbye (DTLS close_notify)"
    HUNG_UP = "it is hung up over HTTP"


class Calls:
    """Places calls.

    Args:
        http: The HTTP client.
        url: Of signaling.
        seed: Of credentials and numbers.

    Attributes:
        done: How many calls have ended in each way.
        failed: What went wrong with those that were to be connected.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, seed: int) -> None:
        self.done: Counter[Ending] = Counter()
        self.failed: Counter[str] = Counter()
        self._http = http
        self._url = url
        self._random = Random(seed)
        self._identity = new_identity()
        self._word = OpusEncoder(OpusSettings()).encode(bytes(FRAME_BYTES))
        self._number = 0

    async def place(self, count: int, at_a_time: int) -> None:
        """Place so many calls, with ends in turn."""
        free = asyncio.Semaphore(at_a_time)
        endings = list(Ending)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await free.acquire()
                task = group.create_task(self._one(endings[number % len(endings)]))
                task.add_done_callback(lambda _: free.release())

    async def _one(self, ending: Ending) -> None:
        try:
            await self._end(ending)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.failed[f"{ending.name}: {type(error).__name__} {error}"] += 1
        else:
            self.done[ending] += 1

    async def _end(self, ending: Ending) -> None:
        self._number += 1
        # Each call has a client of its own: one client may not have very many calls, and a port
        # that the kernel gives again soon is one where the server still talks to somebody else.
        number = self._number
        host = f"127.{1 + (number >> 16 & 127)}.{number >> 8 & 255}.{number & 255}"
        headers = {"Content-Type": "application/sdp", "X-Forwarded-For": host}
        async with self._client(host) as client:
            if ending is Ending.CANCELLED:
                await self._cancel(client.offer, headers)
                return
            offer = (
                client.offer.replace("a=fingerprint", "a=x")
                if ending is Ending.REFUSED
                else client.offer
            )
            async with self._http.post(self._url + CALLS, data=offer, headers=headers) as response:
                answer, path = await response.text(), response.headers.get("Location", "")
                expected = 400 if ending is Ending.REFUSED else 201
                if response.status != expected:
                    raise ConnectionError(f"HTTP {response.status} {answer[:200]}")
            if ending not in (Ending.REFUSED, Ending.OFFERED):
                await self._talk(client, answer, ending)
            if ending is Ending.CLOSED:
                client.close(goodbye=True)
            if ending is Ending.HUNG_UP:
                async with self._http.post(f"{self._url}{path}/hangup") as response:
                    await response.read()

    async def _talk(self, client: ThinClient, answer: str, ending: Ending) -> None:
        await client.open(answer)
        await client.check()
        if ending is Ending.CHECKED:
            return
        if ending is Ending.SHAKING:
            client.say_hello()
            return
        await client.shake_hands()
        if ending is Ending.CONNECTED:
            return
        await client.sctp.associate()
        client.sctp.say(0, DCEP, open_channel(b"oai-events"))
        client.sctp.say(0, STRING, b'{"type": "session.update", "session": {}}')
        for _ in range(TALK):
            client.speak(self._word)
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def _client(self, host: str) -> AsyncIterator[ThinClient]:
        random = Random(self._random.getrandbits(64))
        client = ThinClient(self._identity, random, data=True, host=host)
        try:
            yield client
        finally:
            client.close(goodbye=False)

    async def _cancel(self, offer: str, headers: dict[str, str]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._random.uniform(0.0, 0.01)):
                async with self._http.post(self._url + CALLS, data=offer, headers=headers):
                    pass
