"""The mirror: confirmed flows in Redis, so that a restarted relay recovers at once.

Nothing waits for it. Writes and look-ups are queued and go out in pipelined batches; while Redis
is away they are dropped and counted, and the table writes live flows again every so often.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from relay.core.flowtuple import FlowTuple
from relay.core.throttle import Throttle
from relay.mirror.record import PREFIX, Record, RecordError, client_of, key_of
from relay.wire.endpoint import Endpoint
from relay.wire.errors import RouteError
from relay.wire.keys import KeyRing

BATCH = 500  # keys that are read at a time
REQUESTS = 100  # that are written at a time: datagrams wait while records are signed, some 3 ms
PAUSE_EVERY = 50  # flows that are passed on without a look at what else there is
QUEUE_SIZE = 20_000
TIMEOUT = 2.0  # seconds for Redis to answer
RETRY_AFTER = 1.0  # seconds of silence after a failure
ASKED_FOR = 10.0  # seconds in which one client is looked up once
ASKED_SIZE = 4_096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Put:
    record: Record


@dataclass(frozen=True, slots=True)
class _Delete:
    key: str


@dataclass(frozen=True, slots=True)
class _Get:
    client: Endpoint
    vip: Endpoint


class Mirror:
    """Writes flows to Redis and finds them there.

    Args:
        url: Such as ``redis://127.0.0.1:6379/0``.
        keys: They sign and verify records.
        ttl: How long a record lives after it was written, in seconds.
        found: Called with each flow that is found and whose record verifies.
        counters: Where what happens is counted.
        wanted: Which clients' flows are loaded at the start.

    Raises:
        ValueError: The URL is malformed.
    """

    def __init__(
        self,
        url: str,
        *,
        keys: KeyRing,
        ttl: float,
        found: Callable[[FlowTuple], None],
        counters: Counter[str],
        wanted: Callable[[Endpoint], bool] = lambda _: True,
    ) -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, protocol=2
        )
        self._keys = keys
        self._ttl_ms = round(ttl * 1000)
        self._found = found
        self._counters = counters
        self._wanted = wanted
        self._queue: asyncio.Queue[_Put | _Delete | _Get] = asyncio.Queue(QUEUE_SIZE)
        self._asked: dict[tuple[Endpoint, Endpoint], float] = {}
        self._away = False
        self._throttle = Throttle(time.monotonic)

    def store(self, flow: FlowTuple) -> None:
        """Write a flow's record soon."""
        # Made into text and signed when its turn comes: whoever calls has packets waiting.
        self._enqueue(_Put(Record(flow, time.time())))

    def forget(self, flow: FlowTuple) -> None:
        """Delete a flow's record soon."""
        self._enqueue(_Delete(key_of(flow.client, flow.vip)))

    def recall(self, client: Endpoint, vip: Endpoint) -> None:
        """Look a client's flow up soon, but not again and again."""
        now = time.monotonic()
        if self._asked.get((client, vip), 0.0) > now:
            return
        if len(self._asked) >= ASKED_SIZE:
            self._asked = {key: until for key, until in self._asked.items() if until > now}
            if len(self._asked) >= ASKED_SIZE:
                self._counters["mirror_recall_limited"] += 1
                return
        self._asked[client, vip] = now + ASKED_FOR
        self._enqueue(_Get(client, vip))

    async def run(
        self,
        vips: Iterable[Endpoint],
        accepting: asyncio.Event,
        restored: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Load the flows of these VIPs, then serve the queue until cancelled.

        Args:
            vips: The relay's.
            accepting: Set once `found` may be called; what is read before is kept until then.
            restored: Called when all are found, with the moment at which the reading began, by
                the monotonic clock.
        """
        loaded = False
        try:
            # The condition is for cancellations that got lost in _attempt: asyncio.wait_for of
            # Python 3.11, for one, forgets them when what it waits for ends at that moment.
            while not _cancelled():
                if loaded:
                    done = await self._serve_queue()
                else:
                    began = time.monotonic()
                    done = loaded = await self._attempt(self._load(vips, accepting))
                    if loaded:
                        restored(began)
                if not done:
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            await self._redis.aclose()

    async def _serve_queue(self) -> bool:
        batch = [await self._queue.get()]
        while len(batch) < REQUESTS and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        served = await self._attempt(self._answer(batch))
        if not served:
            self._counters["mirror_lost"] += len(batch)
        return served

    def _enqueue(self, request: _Put | _Delete | _Get) -> None:
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            self._counters["mirror_lost"] += 1

    async def _attempt(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except (RedisError, OSError) as error:
            self._counters["mirror_failed"] += 1
            if not self._away:
                _log.warning("Redis is away, flows are not mirrored: %s", error)
            self._away = True
            return False
        if self._away:
            _log.info("Redis is back")
        self._away = False
        return True

    async def _load(self, vips: Iterable[Endpoint], accepting: asyncio.Event) -> None:
        held: list[FlowTuple] = []
        for vip in vips:
            # An IPv6 VIP is written in brackets, which a pattern would take for a set.
            pattern = f"{PREFIX}{vip}|*".replace("[", "\\[").replace("]", "\\]")
            keys: list[str] = []
            async for key in self._redis.scan_iter(match=pattern, count=BATCH):
                keys.append(cast("bytes", key).decode("ascii", "replace"))
                if len(keys) == BATCH:
                    held += await self._fetch(keys)
                    keys = []
                    if accepting.is_set():
                        await self._give(held)
            held += await self._fetch(keys)
        await accepting.wait()
        await self._give(held)

    async def _give(self, held: list[FlowTuple]) -> None:
        """Pass flows on, and empty the list."""
        for number, flow in enumerate(held, start=1):
            self._found(flow)
            if number % PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # datagrams come first
        held.clear()

    async def _fetch(self, keys: list[str]) -> list[FlowTuple]:
        requests = []
        for key in keys:
            try:
                request = _Get(*client_of(key))
            except RecordError:
                self._counters["mirror_record_refused"] += 1
                continue
            if self._wanted(request.client):
                requests.append(request)
        return await self._serve(requests)

    async def _answer(self, batch: Iterable[_Put | _Delete | _Get]) -> None:
        for flow in await self._serve(batch):
            self._found(flow)
            _log.info("restored the flow of %s from the mirror", flow.client)

    async def _serve(self, batch: Iterable[_Put | _Delete | _Get]) -> list[FlowTuple]:
        """Do what is requested; gives the flows that were found."""
        lookups = []
        # No transaction: each key is used alone, so that Redis Cluster works, too.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for request in batch:
                match request:
                    case _Put(record):
                        if (value := self._serialized(record)) is None:
                            continue
                        # As `pipeline.set` does it, after it has looked at all its options.
                        pipeline.execute_command("SET", record.key, value, "PX", self._ttl_ms)
                    case _Delete(key):
                        pipeline.delete(key)
                    case _Get(client, vip):
                        pipeline.get(key_of(client, vip))
                lookups.append(request if isinstance(request, _Get) else None)
            answers = await pipeline.execute()
        found = (
            self._read(lookup, answer)
            for lookup, answer in zip(lookups, answers, strict=True)
            if lookup is not None and answer is not None
        )
        return [flow for flow in found if flow is not None]

    def _serialized(self, record: Record) -> bytes | None:
        try:
            return record.serialize(self._keys)
        except RouteError:  # signed with a key that has left: no relay could verify it
            self._counters["mirror_unsigned"] += 1
            return None

    def _read(self, lookup: _Get, value: bytes) -> FlowTuple | None:
        try:
            record = Record.parse(lookup.client, lookup.vip, value, self._keys)
        except RecordError as error:
            self._counters["mirror_record_refused"] += 1
            if self._throttle.allows("refused"):
                _log.warning("refused the mirrored flow of %s: %s", lookup.client, error)
            return None
        return record.flow


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
