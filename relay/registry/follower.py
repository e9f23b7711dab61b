"""Follows the registry in Redis: what others announce is heard at once, and read now and then."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from relay.clocks import ClockWatch
from relay.config.directory import Directory
from relay.config.targets import Targets
from relay.core.throttle import Throttle
from relay.outage import Outage
from relay.redisurl import parse
from relay.registry.entry import Entry, EntryError, Heartbeat, RelayEntry
from relay.registry.store import RegistryAwayError, RegistryStore
from relay.registry.table import TTL, FleetTable
from relay.supervision import Backoff, Supervisor
from relay.wire.keys import KeyRing

READ_EVERY = 10.0  # seconds between two full reads
LOOK_EVERY = 1.0  # seconds between two looks for those who have become silent
LONGEST_PAUSE = 5.0  # seconds between two attempts to reach Redis

_log = logging.getLogger(__name__)


class Follower:
    """Keeps a table of the fleet up to date while it runs.

    Args:
        url: See `relay.redisurl`.
        keys: They verify entries.
        clusters: Which are followed.
        table: What is kept up to date.
        changed: Called when it may have changed.
        own: The relay that this is, whose clock is not another one's.

    Attributes:
        clocks: This machine's clock, compared with those of all who announce themselves.
        counters: Heartbeats that were heard and read, and entries that were refused.

    Raises:
        ValueError: The URL is malformed.
    """

    def __init__(
        self,
        url: str,
        keys: KeyRing,
        clusters: Sequence[int],
        table: FleetTable,
        changed: Callable[[], None],
        *,
        own: str | None = None,
    ) -> None:
        self.clocks = ClockWatch()
        self.counters: Counter[str] = Counter()
        parse(url)  # now, and not in a task that would fail again and again
        self._url = url
        self._keys = keys
        self._clusters = clusters
        self._table = table
        self._changed = changed
        self._outage = Outage(
            _log,
            "the registry in Redis is away, what is known of it stays",
            "the registry in Redis is back",
        )
        self._quiet = Outage(
            _log,
            "nothing new is in the registry, what is known of it stays",
            "news are in the registry again",
        )
        self._own = own
        self._heard_of = asyncio.Event()
        self._throttle = Throttle(time.monotonic)

    @property
    def away(self) -> bool:
        """Whether Redis cannot be heard now; what was heard before is believed meanwhile."""
        return self._outage.reason is not None

    @property
    def trouble(self) -> str | None:
        """Why what is known may be old; None while it is not."""
        return self._outage.reason or self._quiet.reason

    async def first_read(self, limit: float) -> bool:
        """Wait until the registry was read once, but not for ever; says whether it was."""
        try:
            async with asyncio.timeout(limit):
                await self._heard_of.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follow until cancelled, whatever Redis does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self._keep_following())

    async def _keep_following(self) -> None:
        backoff = Backoff(longest=LONGEST_PAUSE)
        while True:
            began = time.monotonic()
            try:
                async with RegistryStore(self._url, self._keys) as store:
                    await self._follow(store)
            except* RegistryAwayError as group:
                self._note_away(str(group.exceptions[0]))
            # Not all of a fleet at once: Redis has just come back, perhaps.
            await asyncio.sleep(backoff.pause(time.monotonic() - began) * random.uniform(1.0, 1.5))  # noqa: S311

    async def _follow(self, store: RegistryStore) -> None:
        # In this order: what is announced between the two is heard.
        async with store.listening(self._clusters) as heard, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(store))
            async for cluster, line in heard:
                self.counters["registry_heard"] += 1
                if self._take(line, cluster, 0.0):
                    self._changed()

    async def _read(self, store: RegistryStore) -> None:
        while True:
            found = [(each, await store.read(each)) for each in self._clusters]
            self._note_back()
            news = False
            for cluster, lines in found:
                for line, age in lines:
                    self.counters["registry_read"] += 1
                    news |= self._take(line, cluster, age)
            if news:
                self._changed()
            self._heard_of.set()
            await asyncio.sleep(READ_EVERY)

    async def _look(self) -> None:
        silent = self._table.silent(time.monotonic())
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now, before = time.monotonic(), silent
            for news in self.clocks.news(now):
                _log.error("%s", news)
            if not self.away and self._table.quiet(now):
                self._quiet.begins("nobody announces himself, as if Redis took no writes")
            else:
                self._quiet.ends()
            expired, silent = self._table.expire(now), self._table.silent(now)
            if expired or silent != before:
                self._changed()

    def _take(self, line: bytes, cluster: int, age: float) -> bool:
        try:
            heartbeat = Heartbeat.parse(line, cluster, self._keys)
            self._compare_clocks(heartbeat, age)
            return self._table.take(heartbeat, time.monotonic(), age)
        except EntryError as error:
            self.counters["registry_refused"] += 1
            if self._throttle.allows("refused"):
                more = self._throttle.withheld("refused")
                _log.warning("refused an entry of the registry: %s%s", error, more)
            return False

    def _compare_clocks(self, heartbeat: Heartbeat, age: float) -> None:
        who = machine(heartbeat.entry)
        # What is older may have been written before somebody mended its clock.
        if heartbeat.time is not None and age < TTL and who != f"relay {self._own}":
            ahead = time.time() - heartbeat.time - age
            self.clocks.hear(who, ahead, time.monotonic())

    def _note_away(self, reason: str) -> None:
        self._table.away(time.monotonic())
        self.counters["registry_failed"] += 1
        self._outage.begins(reason)

    def _note_back(self) -> None:
        self._table.back(time.monotonic())
        self._outage.ends()


def follow(
    directory: Directory,
    url: str,
    keys: KeyRing,
    targets: Targets,
    supervisor: Supervisor,
    *,
    own: str | None = None,
) -> Follower:
    """Keep a directory up to date with the registry in Redis, as a task of a supervisor.

    Args:
        directory: Whose clusters are followed, and what is told of them.
        url: See `relay.redisurl`.
        keys: They verify entries.
        targets: Where transceivers may be.
        supervisor: Who keeps it going.
        own: The relay that this is, if it is one.

    Raises:
        ValueError: The URL is malformed.
    """
    table = FleetTable(targets)
    follower = Follower(
        url,
        keys,
        sorted(directory.clusters),
        table,
        lambda: directory.hear(table.registry(time.monotonic())),
        own=own,
    )
    supervisor.start("registry", follower.run, essential=False, trouble=lambda: follower.trouble)

    def why() -> str | None:
        if follower.trouble is None and supervisor.trouble("registry") is not None:
            return "it cannot be followed, by a fault of ours: the log says which"
        return follower.trouble

    directory.doubt(why)
    return follower


def machine(entry: Entry) -> str:
    """On what machine somebody is, as far as an entry tells: transceivers of one have one clock."""
    if isinstance(entry, RelayEntry):
        return f"relay {entry.name}"
    return f"the transceivers at {entry.address.host}"
