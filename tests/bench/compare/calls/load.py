"""A load generator: many calls from one process, to see how a system bears them.

Several callers each place call after call. It prints a line of JSON for each call, when
its first audio has come back or it has failed. Moments are seconds of the monotonic clock:

* ``started``: the client began to make its offer;
* ``offered``: the offer was complete, with the candidates that it needs;
* ``answered``: the answer had come;
* ``connected``: DTLS was complete;
* ``first_audio``: the first audio came back.

SIGTERM ends all calls.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiortc import RTCIceServer
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from yarl import URL

from relay.caller.audio import PacedTrack, read_audio
from relay.caller.call import SPEECH
from relay.caller.client import SignalingClient
from relay.caller.errors import CallError, Failure
from relay.caller.peer import Peer
from signaling.callid import CALLS

_CONNECT_SECONDS = 10.0
_AUDIO_SECONDS = 5.0
_LOOK_EVERY = 0.005  # seconds between two looks whether audio has come
_SPEECH_SECONDS = 3.0  # of audio, which each call repeats


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """Callers that place call after call.

    Attributes:
        url: The signaling server's base URL.
        callers: How many place calls at the same time.
        calls: How many each of them places at least, one after the other.
        window: Seconds in which new calls are started, also beyond that number.
        hold: Seconds that each call lasts after its first audio.
        turn: A TURN server to go through.
    """

    url: URL
    callers: int
    calls: int
    window: float
    hold: float
    turn: RTCIceServer | None = None

    async def run(self) -> None:
        """Place all calls, until they have ended or the task is cancelled."""
        frames = read_audio(SPEECH, longest=_SPEECH_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            over = time.monotonic() + self.window
            async with asyncio.TaskGroup() as callers:
                for _ in range(self.callers):
                    callers.create_task(self._call_again(http, frames, over))

    async def _call_again(
        self, http: aiohttp.ClientSession, frames: Sequence[bytes], over: float
    ) -> None:
        placed = 0
        while placed < self.calls or time.monotonic() < over:
            await self._call(http, frames)
            placed += 1

    async def _call(self, http: aiohttp.ClientSession, frames: Sequence[bytes]) -> None:
        client = SignalingClient(http, self.url.with_path(CALLS))
        started = time.monotonic()
        peer = Peer(PacedTrack(frames), self.turn)
        peer.connection.on("track", _discard)
        try:
            _print({"started": started, **await _place(client, peer)})
            await asyncio.sleep(self.hold)
        except CallError as error:
            _print({"error": str(error)})
        finally:
            await client.hang_up()
            await peer.close()


async def _place(client: SignalingClient, peer: Peer) -> dict[str, float]:
    """Set a call up; gives the time of each step.

    Raises:
        CallError: It was refused, did not connect, or no audio came back.
    """
    offer = await peer.create_offer()
    offered = time.monotonic()
    answer = await client.offer(offer)
    answered = time.monotonic()
    await peer.set_answer(answer)
    await peer.wait_connected(within=_CONNECT_SECONDS)
    connected = peer.dtls_connected or time.monotonic()
    first_audio = await _first_audio(peer)
    return {
        "offered": offered,
        "answered": answered,
        "connected": connected,
        "first_audio": first_audio,
    }


async def _first_audio(peer: Peer) -> float:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_AUDIO_SECONDS):
            while peer.received.first is None:  # noqa: ASYNC110  # there is no event for a packet
                await asyncio.sleep(_LOOK_EVERY)
            return peer.received.first
    raise CallError(Failure.NO_AUDIO, "no audio packet came back")


async def _discard(track: MediaStreamTrack) -> None:
    """Take what comes back; somebody has to."""
    with contextlib.suppress(MediaStreamError):
        while True:
            await track.recv()


def _print(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str]) -> LoadGenerator:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.compare.calls.load", description=__doc__
    )
    parser.add_argument("url", type=URL)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--window", type=float, default=0.0)
    parser.add_argument("--hold", type=float, default=0.0)
    parser.add_argument("--turn", nargs=3, metavar=("HOST:PORT", "USER", "PASSWORD"))
    given = parser.parse_args(arguments)
    turn = None
    if given.turn is not None:
        address, user, password = given.turn
        turn = RTCIceServer(urls=f"turn:{address}", username=user, credential=password)
    return LoadGenerator(given.url, given.callers, given.calls, given.window, given.hold, turn)


async def _main(generator: LoadGenerator) -> None:
    running = asyncio.ensure_future(generator.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(_main(_parse(sys.argv[1:])))
