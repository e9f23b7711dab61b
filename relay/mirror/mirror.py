"""The mirror: confirmed flows in Redis, so that a relay recovers at once, or another one for it.

Nothing waits for it. Writes and look-ups are queued and go out in pipelined batches; while Redis
is away they are dropped and counted, and the table writes live flows again every so often.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from relay.core.flowtuple import FlowTuple, Source
from relay.core.throttle import Throttle
from relay.mirror import library
from relay.mirror.asked import Asked
from relay.mirror.dormant import DormantFlows
from relay.mirror.fetching import fetch
from relay.mirror.reading import Held, read
from relay.mirror.record import LONGEST, Record, RecordError, client_of
from relay.mirror.requests import Claim, LookUp, Refresh, Release, Request, Writer
from relay.outage import Outage
from relay.pace import Pace
from relay.redisclient import FAILURES, Client, in_words, is_elsewhere, require_wanted
from relay.wire.announcement import MAX_EPOCH, Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

REQUESTS = 100  # that are written at a time, as in `relay.mirror.reading`
QUEUE_SIZE = 20_000
TIMEOUT = 2.0  # seconds for Redis to answer
PATIENCE = 0.1  # seconds after which a client that waits for Redis is asked for elsewhere, too
RETRY_AFTER = 1.0  # seconds of silence after a failure

_log = logging.getLogger(__name__)


class Flows(Protocol):
    """The relay's flows, to whom the mirror tells what it finds out."""

    def has(self, source: Source) -> bool:
        """Whether a client has a flow here."""

    def found(self, record: Record, waiting: Sequence[bytes]) -> None:
        """A client has this flow, which is this relay's own or comes over from another one.

        Args:
            record: It, verified.
            waiting: Datagrams of the client that came meanwhile.
        """

    def unknown(self, source: Source, waiting: Sequence[bytes]) -> None:
        """Redis knows nothing of a client, or does not say so in time.

        Args:
            source: The client.
            waiting: Its datagrams that came meanwhile.
        """

    def claimed(self, flow: FlowTuple) -> None:
        """A flow is this relay's in the mirror, too."""

    def contested(self, flow: FlowTuple, epoch: int) -> None:
        """Another relay has claimed a flow before, with this epoch."""

    def lost(self, flow: FlowTuple, epoch: int) -> None:
        """Another relay has taken a flow over, with this epoch."""


@dataclass(frozen=True, slots=True)
class _Read:
    """All flows of the relay's VIPs."""


class Mirror:
    """Writes flows to Redis and finds them there.

    Args:
        connect: Makes a client of Redis; once more after each failure, for the URL may lead to
            others by then.
        keys: They sign and verify records.
        owner: This relay's identity.
        vips: Its public addresses.
        ttl: How long a record lives after it was written, in seconds.
        flows: Who is told what comes of it.
        dormant: Takes flows of other relays.
        counters: Where what happens is counted.
        wanted: Which clients' flows are of interest.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        *,
        keys: KeyRing,
        owner: str,
        vips: Iterable[Endpoint],
        ttl: float,
        flows: Flows,
        dormant: DormantFlows,
        counters: Counter[str],
        wanted: Callable[[Endpoint], bool] = lambda _: True,
    ) -> None:
        self._connect = connect
        self._redis = connect()
        self._keys = keys
        self._owner = owner
        self._vips = tuple(vips)
        self._writer = Writer(owner, keys, round(ttl * 1000))
        self._flows = flows
        self._dormant = dormant
        self._counters = counters
        self._wanted = wanted
        self._queue: asyncio.Queue[tuple[float, Request | _Read]] = asyncio.Queue(QUEUE_SIZE)
        self._oldest: float | None = None  # when the first of those in work was queued
        self._lag = 0.0
        self._asked = Asked()
        self._told: set[Source] | None = None  # whose records have changed while all are read
        self._outage = Outage(_log, "Redis is away, flows are not mirrored", "Redis is back")
        self._refused: set[type[Request]] = set()  # what Redis answers, but does not do
        self._throttle = Throttle(time.monotonic)

    @property
    def trouble(self) -> str | None:
        """Why flows are not mirrored now; None while they are."""
        return self._outage.reason

    @property
    def lag(self) -> float:
        """How many seconds Redis is behind: what the last batch took from the queue on, or longer.

        A batch that is being written counts from when its first request was queued.
        """
        oldest = self._oldest
        return self._lag if oldest is None else max(self._lag, time.monotonic() - oldest)

    @property
    def waiting(self) -> int:
        """How many requests wait, of `QUEUE_SIZE`."""
        return self._queue.qsize()

    def claim(self, flow: FlowTuple, epoch: int, introduced: Announcement | None = None) -> None:
        """Write a flow's record soon, as of this relay.

        Args:
            flow: The flow.
            epoch: Its epoch.
            introduced: What an edge has said of its client.
        """
        # Made into text and signed when its turn comes: whoever calls has packets waiting.
        self._enqueue(Claim(flow, epoch, introduced))

    def refresh(self, flow: FlowTuple, epoch: int, introduced: Announcement | None = None) -> None:
        """Let the record of a flow that was claimed live on, or write it if it has gone.

        Args:
            flow: The flow.
            epoch: Its epoch; 0 if an agent before this one has claimed it.
            introduced: What an edge has said of its client.
        """
        self._enqueue(Refresh(flow, epoch, introduced))

    def release(self, flow: FlowTuple, epoch: int) -> None:
        """Delete a flow's record soon, if it is this relay's."""
        self._enqueue(Release(flow, epoch or MAX_EPOCH))

    def recall(self, source: Source, data: bytes) -> None:
        """Find the flow of a client that is not known, from which a datagram came.

        One of another relay may be known already. Otherwise Redis is asked soon, but not again and
        again.
        """
        if (value := self._dormant.pop(source, time.monotonic())) is not None:
            if (record := self._read(source.client, source.vip, value)) is not None:
                self._flows.found(record, [data])
            return
        if self._outage.reason is not None:
            self._flows.unknown(source, [data])
            return
        look_up = self._asked.ask(source, data, time.monotonic())
        if look_up:
            self._enqueue(LookUp(source.client, source.vip))
            asyncio.get_running_loop().call_later(PATIENCE, self._give_up, source)
        elif look_up is None:
            self._counters["mirror_recall_limited"] += 1

    async def fetch(self, flow: FlowTuple) -> dict[str, Any] | None:
        """See `relay.mirror.fetching.fetch`."""
        return await fetch(self._redis, flow, self._keys)

    def read_again(self) -> None:
        """Read all flows soon: something may have been missed."""
        self._enqueue(_Read())

    def heard(self, key: str, value: bytes | None) -> None:
        """Take what a relay has told of a record: its new text, or that it is deleted."""
        try:
            client, vip = client_of(key)
        except RecordError:
            self._counters["mirror_record_refused"] += 1
            return
        if not self._wanted(client):
            return
        source = Source(client, vip)
        if self._told is not None:
            self._told.add(source)
        if value is None:
            self._dormant.pop(source, time.monotonic())
            return
        self._sort(client, vip, value)

    async def run(
        self, accepting: asyncio.Event, restored: Callable[[float], None] = lambda _: None
    ) -> None:
        """Read the flows of the VIPs, then serve the queue until cancelled.

        Args:
            accepting: Set once flows may be restored; what is read before is kept until then.
            restored: Called when all are found, with the moment at which the reading began, by
                the monotonic clock.
        """
        loaded = False
        try:
            while True:
                if loaded:
                    done = await self._serve_queue()
                else:
                    began = time.monotonic()
                    done = loaded = await self._attempt(self._load(accepting))
                    if loaded:
                        restored(began)
                if not done:
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            await self._redis.aclose()

    async def _serve_queue(self) -> bool:
        self._oldest, first = await self._queue.get()
        batch = [first]
        while len(batch) < REQUESTS and not self._queue.empty():
            batch.append(self._queue.get_nowait()[1])
        requests = [each for each in batch if not isinstance(each, _Read)]
        served = await self._attempt(self._serve(requests))
        self._lag, self._oldest = time.monotonic() - self._oldest, None
        if not served:
            self._lose(requests)
        if len(requests) < len(batch):
            accepting = asyncio.Event()
            accepting.set()
            served = served and await self._attempt(self._load(accepting))
        return served

    def _enqueue(self, request: Request | _Read) -> None:
        try:
            self._queue.put_nowait((time.monotonic(), request))
        except asyncio.QueueFull:
            self._counters["mirror_lost"] += 1

    def _lose(self, requests: Sequence[Request]) -> None:
        self._counters["mirror_lost"] += len(requests)
        for request in requests:
            if isinstance(request, LookUp):
                source = Source(request.client, request.vip)
                self._give_up(source)
                self._asked.forget(source)

    async def _attempt(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except FAILURES as error:
            require_wanted()
            self._fail(error)
            await self._connect_anew()
            return False
        require_wanted()
        if not self._refused:
            self._outage.ends()
        return True

    def _fail(self, error: Exception) -> None:
        self._counters["mirror_failed"] += 1
        self._outage.begins(in_words(error))

    async def _connect_anew(self) -> None:
        with contextlib.suppress(*FAILURES):
            await self._redis.aclose()
        self._redis = self._connect()

    async def _serve(self, batch: Sequence[Request]) -> None:
        """Do what is requested, and tell what came of it."""
        pace = Pace()
        # No transaction: each key is used alone, so that Redis Cluster works, too.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for request in batch:
                request.add(pipeline, self._writer)
                await pace.rest()
            answers = await pipeline.execute(raise_on_error=False)
        answered = list(zip(batch, answers, strict=True))
        if again := [request for request, answer in answered if library.is_missing(answer)]:
            await library.load(self._redis)
            await self._serve(again)
        if elsewhere := [each for each in answered if is_elsewhere(each[1])]:
            self._refused.update(type(request) for request, _ in elsewhere)
            raise elsewhere[0][1]
        for request, answer in answered:
            if not isinstance(answer, Exception):
                self._permitted(request)
                self._answered(request, answer)
            elif not library.is_missing(answer):
                self._not_done(request, answer)
            await pace.rest()

    def _permitted(self, request: Request) -> None:
        """Redis does requests of this kind. A claim needs all that any other does."""
        if isinstance(request, Claim):
            self._refused.clear()
        self._refused.discard(type(request))

    def _not_done(self, request: Request, error: Exception) -> None:
        if library.is_of_one_key(error):  # somebody else has put it there
            self._counters["mirror_refused"] += 1
            if self._throttle.allows("request"):
                more = self._throttle.withheld("request")
                _log.warning("Redis refuses one of several requests: %s%s", error, more)
            return
        self._refused.add(type(request))
        self._lose([request])
        self._fail(error)

    def _answered(self, request: Request, answer: object) -> None:
        match request, answer:
            case LookUp(client, vip), value:
                self._looked_up(Source(client, vip), value if isinstance(value, bytes) else None)
            case Claim() | Refresh(), bytes(value):
                self._held(request, value)
            case Claim(flow), _:
                self._flows.claimed(flow)
            case Refresh(flow, epoch, introduced), 0:
                self.claim(flow, max(1, epoch), introduced)

    def _held(self, request: Claim | Refresh, value: bytes) -> None:
        """Redis has this as the record of another relay, or of a higher epoch of this one's."""
        flow = request.flow
        record = self._read(flow.client, flow.vip, value)
        if record is None:
            # Once: whoever goes on writing junk there is answered as often as flows are stored.
            if not (isinstance(request, Claim) and request.junk):
                self._enqueue(Claim(flow, max(1, request.epoch), request.introduced, value))
        elif isinstance(request, Claim):
            self._counters["mirror_contested"] += 1
            self._flows.contested(flow, record.epoch)
        else:
            self._flows.lost(flow, record.epoch)

    def _looked_up(self, source: Source, value: bytes | None) -> None:
        record = self._read(source.client, source.vip, value) if value is not None else None
        if record is None:
            self._give_up(source)
            return
        self._flows.found(record, self._asked.answer(source))
        if self._throttle.allows("found"):  # at a restart they are found by the thousand
            _log.info("found flows in the mirror, such as that of %s", source.client)

    def _give_up(self, source: Source) -> None:
        """Look for a client elsewhere, unless there was an answer already."""
        if waiting := self._asked.answer(source):
            self._flows.unknown(source, waiting)

    # Reading

    async def _load(self, accepting: asyncio.Event) -> None:
        held: list[Held] = []
        self._told = set()
        try:
            for vip in self._vips:
                async for batch in read(self._redis, vip, self._wanted, self._counters):
                    held += batch
                    if accepting.is_set():
                        await self._give(held)
            await accepting.wait()
            await self._give(held)
        finally:
            self._told = None

    async def _give(self, held: list[Held]) -> None:
        """Pass flows on, but for those of which something newer was told, and empty the list."""
        pace = Pace()
        for client, vip, value in held:
            if Source(client, vip) not in (self._told or ()):
                self._sort(client, vip, value)
            await pace.rest()
        held.clear()

    def _sort(self, client: Endpoint, vip: Endpoint, value: bytes) -> None:
        """Take a record that nobody has asked for: this relay's own, or another's."""
        source = Source(client, vip)
        # Others' are read when they are needed, if ever; what is too long for one is not kept.
        is_wanted = self._owner.encode() in value or self._flows.has(source)
        if is_wanted or len(value) > LONGEST:
            if (record := self._read(client, vip, value)) is None:
                return
            if record.owner == self._owner:
                self._dormant.pop(source, time.monotonic())  # it was taken back
                self._flows.found(record, [])
                return
            self._flows.lost(record.flow, record.epoch)
        self._dormant.put(source, value, time.monotonic())

    def _read(self, client: Endpoint, vip: Endpoint, value: bytes) -> Record | None:
        try:
            return Record.parse(client, vip, value, self._keys)
        except RecordError as error:
            self._counters["mirror_record_refused"] += 1
            if self._throttle.allows("refused"):
                more = self._throttle.withheld("refused")
                _log.warning("refused the mirrored flow of %s: %s%s", client, error, more)
            return None
