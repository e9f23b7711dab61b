"""What each request of a mirror costs: the real mirror, the real functions, a real Redis.

Processor time is counted, not time that passes: other work on the machine does little to it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from statistics import median

from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.userspace import UserspaceDataplane
from relay.mirror.dormant import DormantFlows
from relay.mirror.library import CHANNEL
from relay.mirror.mirror import QUEUE_SIZE, TIMEOUT, Mirror
from relay.mirror.neighbours import Neighbours
from relay.mirror.record import Record, key_of
from relay.redisclient import connect
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.bench.compare.report.results import Key, Results
from tests.bench.errors import BenchError
from tests.bench.mirror.server import Server, serving

BENCHMARK = "mirror"
RELAY, REDIS = "relay", "redis"
MOST = QUEUE_SIZE // 2  # records: what is queued at once
LOOKED_UP = 2_000  # clients: a relay asks for 4,096 at a time
LISTENERS = 8  # relays that listen beside

_VIP = Endpoint("203.0.113.10", 3478)
_TARGET = Target(1, 1, 1)
_UNIX = 1_800_000_000.0
_TTL = 300.0
_LIMIT = 120.0  # seconds for a step
_PUBLISH = "for i = 1, #KEYS do redis.call('PUBLISH', ARGV[1], KEYS[i] .. ' ' .. ARGV[i + 1]) end"


class _Heard:
    """The flows of a relay that counts what its mirror tells."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def has(self, _: Source) -> bool:
        return False

    def found(self, *_: object) -> None:
        self.count["found"] += 1

    def unknown(self, *_: object) -> None:
        self.count["unknown"] += 1

    def claimed(self, _: FlowTuple) -> None:
        self.count["claimed"] += 1

    def contested(self, *_: object) -> None:
        raise BenchError("another relay has claimed a flow: nobody else should be here")

    lost = contested


class _Relay:
    """A relay's mirror, and what it has heard."""

    def __init__(self, server: Server, keys: KeyRing, owner: str) -> None:
        self.flows = _Heard()
        self.dormant = DormantFlows(10 * MOST, Counter(), UserspaceDataplane())
        self.mirror = Mirror(
            partial(connect, server.url, TIMEOUT),
            keys=keys,
            owner=owner,
            vips=[_VIP],
            ttl=_TTL,
            flows=self.flows,
            dormant=self.dormant,
            counters=Counter(),
        )


class Measurement:
    """Measures into results, a round at a time.

    Args:
        results: Take what is found.
        records: How many are written.
    """

    def __init__(self, results: Results, records: int) -> None:
        self._results = results
        self._keys = KeyRing({0: bytes(range(32))}, 0)
        self._flows = [self._flow(number) for number in range(records)]
        self._accepting = asyncio.Event()
        self._accepting.set()
        self._round = 0

    def run(self, number: int) -> None:
        """Measure once.

        Raises:
            BenchError: There is no redis-server, or it does not serve.
        """
        self._round = number
        with serving() as server:
            asyncio.run(self._all(server))

    async def _all(self, server: Server) -> None:
        async with self._running(server, "relay-a") as relay:
            await self._writing(server, relay)
        # Another relay with the same VIP reads all, and keeps it as it is.
        before = self._spent(server)
        async with self._running(server, "relay-b") as relay:
            await _until(lambda: len(relay.dormant) == len(self._flows))
            self._add("read", before, self._spent(server), len(self._flows))
            await self._hearing(server, relay)
        async with self._running(server, "relay-c") as relay:
            await self._looking_up(server, relay)
        before = self._spent(server)
        async with self._running(server, "relay-a") as relay:
            await _until(lambda: relay.flows.count["found"] == len(self._flows))
            self._add("restore", before, self._spent(server), len(self._flows))
            before = self._spent(server)
            for flow in self._flows:
                relay.mirror.release(flow, 1)
            await _until(lambda: server.client.dbsize() == 0)
            self._add("release", before, self._spent(server), len(self._flows))

    async def _writing(self, server: Server, relay: _Relay) -> None:
        relay.mirror.claim(self._flows[0], 1)  # which loads the functions into Redis
        await _until(lambda: relay.flows.count["claimed"] == 1)
        relay.mirror.release(self._flows[0], 1)
        await _until(lambda: server.client.dbsize() == 0)
        empty = server.memory()
        await self._claiming(server, relay, "claim")
        grown = server.memory() - empty
        self._put("record_bytes", REDIS, "claim", grown / len(self._flows))
        before, done = self._spent(server), server.calls("fcall")
        for flow in self._flows:
            relay.mirror.refresh(flow, 1)
        await _until(lambda: server.calls("fcall") == done + len(self._flows))
        self._add("refresh", before, self._spent(server), len(self._flows))
        with server.listened(f"{CHANNEL}{_VIP}", LISTENERS):
            await self._claiming(server, relay, f"claim, {LISTENERS} listeners")

    async def _claiming(self, server: Server, relay: _Relay, name: str) -> None:
        before, done = self._spent(server), relay.flows.count["claimed"]
        for flow in self._flows:
            relay.mirror.claim(flow, 1)
        await _until(lambda: relay.flows.count["claimed"] == done + len(self._flows))
        self._add(name, before, self._spent(server), len(self._flows))

    async def _hearing(self, server: Server, relay: _Relay) -> None:
        """A relay hears what another one writes: published by Redis itself, in one command."""
        flows = self._flows[:LOOKED_UP]
        texts = [Record(each, "relay-a", 1, _UNIX).serialize(self._keys) for each in flows]
        keys = [key_of(each.client, each.vip) for each in flows]
        channel = f"{CHANNEL}{_VIP}"
        neighbours = Neighbours(partial(connect, server.url, TIMEOUT), [_VIP], relay.mirror)
        async with _task(neighbours.run(self._accepting)):
            await _until(lambda: server.client.pubsub_numsub(channel)[0][1] == 1)
            for flow in flows:  # so that it is seen when they are here again
                relay.dormant.pop(Source(flow.client, flow.vip), time.monotonic())
            left = len(relay.dormant)
            before = self._spent(server)
            server.client.eval(_PUBLISH, len(keys), *keys, channel, *texts)
            await _until(lambda: len(relay.dormant) == left + len(flows))
            self._add("heard", before, self._spent(server), len(flows))

    async def _looking_up(self, server: Server, relay: _Relay) -> None:
        await _until(lambda: len(relay.dormant) == len(self._flows))
        flows = self._flows[-LOOKED_UP:]
        for name, forget in (("wake", False), ("look up", True)):
            if forget:
                for flow in flows:
                    relay.dormant.pop(Source(flow.client, flow.vip), time.monotonic())
            before, done = self._spent(server), relay.flows.count["found"]
            for flow in flows:
                relay.mirror.recall(Source(flow.client, flow.vip), b"\x80")
            await _until(lambda done=done: relay.flows.count["found"] == done + len(flows))  # type: ignore[misc]
            self._add(name, before, self._spent(server), len(flows))

    @asynccontextmanager
    async def _running(self, server: Server, owner: str) -> AsyncIterator[_Relay]:
        relay = _Relay(server, self._keys, owner)
        async with _task(relay.mirror.run(self._accepting)):
            yield relay

    def _flow(self, number: int) -> FlowTuple:
        nonce = number.to_bytes(4, "big")
        route = mint(_TARGET, self._keys, now=_UNIX, lifetime=86_400.0, nonce=nonce)
        return FlowTuple(
            client=Endpoint(f"198.51.{100 + (number >> 14)}.{number >> 6 & 255}", 40_000 + number),
            vip=_VIP,
            upstream=Endpoint("192.0.2.1", 10_000 + number),
            transceiver=Endpoint("192.0.2.2", 5_000),
            route=route.raw,
        )

    def _spent(self, server: Server) -> tuple[float, float]:
        return time.process_time(), server.busy()

    def _add(
        self, name: str, before: tuple[float, float], after: tuple[float, float], count: int
    ) -> None:
        for system, began, ended in zip((RELAY, REDIS), before, after, strict=True):
            self._put("us", system, name, 1e6 * (ended - began) / count)

    def _put(self, metric: str, system: str, request: str, value: float) -> None:
        key = Key(BENCHMARK, metric, (("request", request),), system)
        self._results.add(key, self._round, value)


@asynccontextmanager
async def _task(work: Awaitable[None]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        task = asyncio.ensure_future(work)
        stack.push_async_callback(_cancelled, task)
        yield


async def _cancelled(task: "asyncio.Future[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _LIMIT
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError("Redis serves too slowly here: try again with fewer records")
        await asyncio.sleep(0.02)


def table(results: Results) -> Sequence[tuple[str, float | None, float | None]]:
    """For each request its microseconds at the relay and at Redis: medians over the rounds."""
    names = dict.fromkeys(dict(key.parameters)["request"] for key in results.figures)

    def value(system: str, name: str | int) -> float | None:
        values = results.values(Key(BENCHMARK, "us", (("request", name),), system))
        return median(values) if values else None

    return [(str(name), value(RELAY, name), value(REDIS, name)) for name in names]
