"""Places calls on services of their own and compares what these have before and after."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from tests.bench.leaks.calls import Calls
from tests.lab.pair import Services, serving
from tests.lab.usage import Usage

SETTLE = 5.0  # seconds after the last call has ended, in which everything must be back
# A silent call ends after 30 s without consent, one without a handshake after 30 s.
PATIENCE = 60.0  # seconds until the last call has ended by itself
_WARM_UPS = 2
MEMORY = 0.05  # the share by which memory may have grown


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    Attributes:
        seconds: How long it took to place the calls.
        until_empty: Seconds until the last of them had ended.
        done: Calls by how they ended.
        failed: What went wrong, with how often.
        usage: By service: before, with most calls, after.
        left: By service what was left behind, in words.
        tracebacks: In the logs.
    """

    seconds: float
    until_empty: float
    done: dict[str, int]
    failed: dict[str, int]
    usage: dict[str, tuple[Usage, Usage, Usage]]
    left: dict[str, list[str]]
    tracebacks: int


class _Watch:
    """What both services have, and the calls that the transceiver has."""

    def __init__(self, http: aiohttp.ClientSession, services: Services) -> None:
        self._http = http
        self._services = services

    async def usage(self) -> tuple[Usage, Usage]:
        async with self._http.get(self._services.control + "/v1/counters") as response:
            tasks = (await response.json())["counters"]["tasks"]
        return self._services.transceiver.usage(tasks), self._services.signaling.usage()

    async def calls(self) -> list[str]:
        async with self._http.get(self._services.control + "/v1/sessions") as response:
            return [each["id"] for each in (await response.json())["sessions"]]

    async def empty(self, *, hurry: bool) -> None:
        """Wait until there are no calls; in a hurry, end them."""
        async with asyncio.timeout(PATIENCE):
            while ids := await self.calls():
                for each in ids if hurry else ():
                    async with self._http.delete(f"{self._services.control}/v1/sessions/{each}"):
                        pass
                await asyncio.sleep(0.2)

    async def settled(self, before: tuple[Usage, Usage]) -> tuple[Usage, Usage]:
        """The least of each that both have within `SETTLE`, if not everything is back earlier."""
        ends = time.monotonic() + SETTLE
        least = await self.usage()
        while time.monotonic() < ends and any(
            each.left_behind(old, MEMORY) for each, old in zip(least, before, strict=True)
        ):
            await asyncio.sleep(0.2)
            transceiver, signaling = await self.usage()
            least = least[0].least(transceiver), least[1].least(signaling)
        return least


async def measure(
    calls: int, at_a_time: int, seed: int, say: Callable[[str], object], *, hurry: bool
) -> Result:
    """Place calls, and look at what they leave.

    Args:
        calls: How many; as many come before, twice, so that caches, pools and the allocator have
            all that so many need. (Of 7 times 270, the second left 4 MiB more than the first, the
            seventh 0.3 more than the sixth.)
        at_a_time: How many of them at once.
        seed: Of what clients do.
        say: Told what is going on.
        hurry: Whether calls without a client are ended, and not waited for.
    """
    async with (
        serving(capacity=2 * calls + 100) as services,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http,
    ):
        placing, watch = Calls(http, services.url, seed), _Watch(http, services)
        for turn in range(1, _WARM_UPS + 1):
            say(f"{calls} calls to warm up, {turn} of {_WARM_UPS}")
            await placing.place(calls, at_a_time)
            await watch.empty(hurry=hurry)
        await asyncio.sleep(SETTLE)
        before = await watch.usage()
        placing.done.clear()
        say(f"{calls} calls, {at_a_time} at a time")
        began = time.monotonic()
        await placing.place(calls, at_a_time)
        placed = time.monotonic()
        most = await watch.usage()
        say("waiting for the last to end")
        await watch.empty(hurry=hurry)
        ended = time.monotonic()
        after = await watch.settled(before)
        both = (services.transceiver, services.signaling)
        names = [each.name for each in both]
        return Result(
            seconds=placed - began,
            until_empty=ended - placed,
            done={each.value: count for each, count in placing.done.items()},
            failed=dict(placing.failed),
            usage=dict(zip(names, zip(before, most, after, strict=True), strict=True)),
            left={
                name: now.left_behind(old, MEMORY)
                for name, now, old in zip(names, after, before, strict=True)
            },
            tracebacks=sum(each.tracebacks() for each in both),
        )
