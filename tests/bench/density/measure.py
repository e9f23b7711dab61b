"""Echo calls on one core: what they take, and how late their frames are.

The transceiver has a core to itself; the clients, which are cheap and real on the wire (ICE, DTLS,
SRTP), have the others.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate
from tests.lab.errors import LabError
from tests.lab.pair import Services, serving
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone

PERIOD = 0.02  # seconds of a frame
WARM_UP = 3.0  # seconds until the bitrate and the playout are what they will be
REPORT_EVERY = 1.0  # seconds between two reports of a client
AT_A_TIME = 10  # calls that connect at once
_REPORT = struct.Struct("!BBHIIBBHIIII")
_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Result:
    """A number of calls, over some seconds.

    Attributes:
        calls: How many.
        loss: Share of the clients' packets that were lost, and that they report.
        cpu: Share of the core that the transceiver took.
        frame: Microseconds of processor time of a call in 20 ms.
        late_p99: Milliseconds from when a turn was due to when what came of it was sent: 99 % were
            below this limit of the histogram.
        late_most: The most of all turns since the transceiver's start, in milliseconds.
        skipped: Turns that were left out because the process was behind.
        memory: KiB of a call.
        echoed: Packets that came back for each that a client made.
    """

    calls: int
    loss: float
    cpu: float
    frame: float
    late_p99: float
    late_most: float
    skipped: int
    memory: float
    echoed: float


async def measure(
    counts: Sequence[int], seconds: float, loss: float, seed: int, told: Callable[[str], None]
) -> list[Result]:
    """Measure each number of calls.

    Raises:
        LabError: The machine has one core only, or calls did not connect.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise LabError("the transceiver needs a core of its own: run this on two or more")
    results = []
    for count in counts:
        told(f"{count} calls")
        async with serving(count) as services:
            os.sched_setaffinity(services.transceiver.pid, {cores[0]})
            os.sched_setaffinity(0, set(cores[1:]))
            try:
                results.append(await _measure(services, count, seconds, loss, Random(seed)))
            finally:
                os.sched_setaffinity(0, set(cores))
    return results


async def _measure(
    services: Services, count: int, seconds: float, loss: float, random: Random
) -> Result:
    async with aiohttp.ClientSession() as http:
        before = services.transceiver.usage().resident
        async with _talking(http, services, count, loss, random) as clients:
            await asyncio.sleep(min(WARM_UP, seconds))
            first = await _look(http, services)
            heard = [(client.sent, client.thin.heard.rtp) for client in clients]
            await asyncio.sleep(seconds)
            last = await _look(http, services)
            sent = sum(c.sent - s for c, (s, _) in zip(clients, heard, strict=True))
            came = sum(c.thin.heard.rtp - r for c, (_, r) in zip(clients, heard, strict=True))
            resident = services.transceiver.usage().resident
    turns = last.lateness["count"] - first.lateness["count"]
    used = last.cpu - first.cpu
    return Result(
        calls=count,
        loss=loss,
        cpu=used / seconds,
        frame=1e6 * used / turns if turns else 0.0,
        late_p99=1e3 * _quantile(first.lateness, last.lateness, 0.99),
        late_most=1e3 * last.lateness["largest"],
        skipped=last.skipped - first.skipped,
        memory=(resident - before) / count,
        echoed=came / sent if sent else 0.0,
    )


@dataclass(frozen=True, slots=True)
class _Look:
    cpu: float  # seconds
    lateness: Mapping[str, Any]
    skipped: int


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _HZ  # utime and stime (proc(5))


async def _look(http: aiohttp.ClientSession, services: Services) -> _Look:
    """Processor time, and the transceiver's own counts."""
    async with http.get(services.control + "/v1/counters") as response:
        counted = await response.json()
    return _Look(
        _cpu_seconds(services.transceiver.pid),
        counted["histograms"]["turn_lateness_seconds"],
        counted["counters"]["turns_skipped"],
    )


def _quantile(first: Mapping[str, Any], last: Mapping[str, Any], share: float) -> float:
    """The limit below which such a share of what was counted between two looks lies."""
    wanted = share * (last["count"] - first["count"])
    for limit, count in last["at_most"].items():
        if count - first["at_most"][limit] >= wanted:
            return float(limit)
    return float(last["largest"])


class _Client:
    """A client that talks all the time.

    Attributes:
        thin: What does it.
        sent: Packets that it has made, lost ones included.
    """

    def __init__(
        self, thin: ThinClient, words: Sequence[bytes], loss: float, random: Random
    ) -> None:
        self.thin = thin
        self.sent = 0
        self._words = words
        self._loss = loss
        self._random = random

    def speak(self) -> None:
        """Say the next 20 ms."""
        word = self._words[self.sent % len(self._words)]
        self.sent += 1
        if self._random.random() < self._loss:
            self.thin.skip()
        else:
            self.thin.speak(word)

    def report(self) -> None:
        """Say how much of what comes is lost (RFC 3550, section 6.4.2)."""
        if self._loss and self.thin.heard.last:
            last = self.thin.heard.last[-1]
            number, theirs = int.from_bytes(last[2:4], "big"), int.from_bytes(last[8:12], "big")
            fraction = round(256 * self._loss)
            self.thin.send_rtcp(
                _REPORT.pack(
                    *(0x81, 201, 7, self.thin.ssrc, theirs, fraction, 0, 0),
                    *(number, 0, 0, 0),
                )
            )


@asynccontextmanager
async def _talking(
    http: aiohttp.ClientSession, services: Services, count: int, loss: float, random: Random
) -> AsyncIterator[list[_Client]]:
    """So many clients, which talk while the context is entered."""
    identity, words = new_identity(), tone(seconds=1.0)
    clients = [_Client(ThinClient(identity, random), words, loss, random) for _ in range(count)]
    media = Endpoint.parse(services.media)
    try:
        for first in range(0, count, AT_A_TIME):
            some = clients[first : first + AT_A_TIME]
            await asyncio.gather(*(_connect(http, services, each.thin, media) for each in some))
        talking = asyncio.create_task(_talk(clients))
        try:
            yield clients
        finally:
            talking.cancel()
    finally:
        for each in clients:
            each.thin.close(goodbye=True)


async def _connect(
    http: aiohttp.ClientSession, services: Services, client: ThinClient, media: Endpoint
) -> None:
    body = {"sdp": client.offer, "candidates": [Candidate(media).dump()]}
    async with http.post(services.control + "/v1/sessions", json=body) as response:
        answer = await response.json()
        if response.status != 201:
            raise LabError(f"the transceiver answered {response.status}: {answer}")
    await client.connect(answer["sdp"])


async def _talk(clients: Sequence[_Client]) -> None:
    """Let all speak, spread over each 20 ms as the phones of many people are."""
    loop = asyncio.get_running_loop()
    began, turn = loop.time(), 0
    reported = 0.0
    while True:
        now = loop.time()
        due = int((now - began) / PERIOD * len(clients))
        for number in range(turn, due):
            clients[number % len(clients)].speak()
        turn = max(turn, due)
        if now - reported >= REPORT_EVERY:
            reported = now
            for each in clients:
                each.report()
        await asyncio.sleep(0.001)
