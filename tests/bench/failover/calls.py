"""Real calls: ICE, DTLS and SRTP with a real transceiver, which echoes what they say."""

import asyncio
import threading
from collections.abc import Sequence
from random import Random
from typing import Self

import aiohttp

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.errors import LabError
from tests.lab.fleet.network import SIGNALING_ENDPOINT
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone

PERIOD = 0.02  # seconds of a packet
_AT_A_TIME = 5  # calls that connect at once
_CONNECT_SECONDS = 60.0
_TURN = 0.001  # seconds


class Calls:
    """Calls that talk, while entered; a thread of their own serves them.

    Args:
        host: The clients' host.
        count: How many.
        signaling: Where they are placed.
    """

    def __init__(self, host: Host, count: int, signaling: Endpoint = SIGNALING_ENDPOINT) -> None:
        self._host = host
        self._count = count
        self._url = f"http://{signaling}/v1/realtime/calls"
        self._connected, self._end = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Place them.

        Raises:
            LabError: Some did not connect.
        """
        self._thread.start()
        self._connected.wait(_CONNECT_SECONDS)
        self.check()
        if not self._connected.is_set():
            self._end.set()
            raise LabError(f"The calls are not connected after {_CONNECT_SECONDS:.0f} s.")
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End them."""
        self._end.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LabError if they have failed."""
        if self._failure is not None:
            raise LabError(f"The calls have failed: {self._failure}") from self._failure

    def _work(self) -> None:
        try:
            with self._host.inside():  # this thread, and all sockets that it makes
                asyncio.run(self._call())
        except Exception as error:  # noqa: BLE001  # it is told by whoever waits for the calls
            self._failure = error
            self._connected.set()

    async def _call(self) -> None:
        identity, random = new_identity(), Random()
        clients = [ThinClient(identity, random) for _ in range(self._count)]
        try:
            async with aiohttp.ClientSession() as http:
                for first in range(0, self._count, _AT_A_TIME):
                    some = clients[first : first + _AT_A_TIME]
                    await asyncio.gather(*(_place(http, self._url, each) for each in some))
            self._connected.set()
            await self._talk(clients)
        finally:
            for each in clients:
                each.close(goodbye=True)

    async def _talk(self, clients: Sequence[ThinClient]) -> None:
        """Let all speak, spread over each 20 ms as the phones of many people are."""
        words = tone(seconds=1.0)
        loop = asyncio.get_running_loop()
        began, turn = loop.time(), 0
        while not self._end.is_set():
            due = int((loop.time() - began) / PERIOD * len(clients))
            for number in range(turn, due):
                clients[number % len(clients)].speak(words[number // len(clients) % len(words)])
            turn = max(turn, due)
            await asyncio.sleep(_TURN)


async def _place(http: aiohttp.ClientSession, url: str, client: ThinClient) -> None:
    headers = {"Content-Type": "application/sdp"}
    async with http.post(url, data=client.offer, headers=headers) as response:
        answer = await response.text()
        if response.status != 201:
            raise LabError(f"signaling answered {response.status}: {answer}")
    await client.connect(answer)
