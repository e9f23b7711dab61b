"""Announces a transceiver or a relay in the registry, again and again, whatever Redis does."""

import asyncio
import contextlib
import logging
import random
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.outage import Outage
from relay.registry.entry import Entry, Heartbeat
from relay.registry.store import TIMEOUT, RegistryAwayError, RegistryStore, SlotTakenError
from relay.registry.table import TTL
from relay.supervision import Backoff, Supervisor
from relay.wire.keys import KeyRing
from relay.wire.route import Target

BEAT_EVERY = 5.0  # seconds; two may be lost within `TTL`
LOOK_EVERY = 0.2  # seconds between two looks at what others must know at once
LONGEST_PAUSE = 2.0  # seconds between two attempts to reach Redis

_SLOTS = 1 << 24

_log = logging.getLogger(__name__)


class Announcer:
    """Announces what it is told while the context is entered; at its end it says goodbye.

    Args:
        url: See `relay.redisurl`.
        keys: They sign entries.
        entry: Makes the entry of now. A change of anything but load is announced at once.
        owner: Who has claimed the slot of a transceiver.
        lost: Called when that slot is somebody else's.

    Raises:
        ValueError: The URL is malformed.
    """

    def __init__(
        self,
        url: str,
        keys: KeyRing,
        entry: Callable[[], Entry],
        *,
        owner: str | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = RegistryStore(url, keys)
        self._entry = entry
        self._owner = owner
        self._lost = lost
        self._has_lost = False
        # Rises over restarts, too, unless this machine's clock was set back: see `FleetTable`.
        self._beat = time.time_ns() // 1_000_000
        self._outage = Outage(
            _log,
            "cannot announce in the registry, Redis is away",
            "announced in the registry again",
        )

    @property
    def trouble(self) -> str | None:
        """Why nothing can be announced now; None while it can."""
        return self._outage.reason

    async def run(self) -> None:
        """Announce until cancelled, or until the slot is somebody else's."""
        backoff = Backoff(longest=LONGEST_PAUSE)
        while not self._has_lost:
            began, entry = time.monotonic(), self._entry()
            try:
                if not await self._store.announce(self._next(entry), self._owner):
                    self._note_lost(entry)
                    return
            except RegistryAwayError as error:
                self._outage.begins(str(error))
                await self._store.connect_anew()
                await asyncio.sleep(backoff.pause(time.monotonic() - began))
                continue
            self._outage.ends()
            # Spread over time, so that a fleet that was started at once does not beat at once.
            await self._rest(entry, BEAT_EVERY * random.uniform(0.8, 1.0))  # noqa: S311

    async def say_goodbye(self) -> None:
        """Withdraw the entry, if Redis can be reached within `TIMEOUT`."""
        if self._has_lost:
            return
        heartbeat = self._next(self._entry(), gone=True)
        with contextlib.suppress(RegistryAwayError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await self._store.withdraw(heartbeat)

    @asynccontextmanager
    async def announcing(
        self,
        supervisor: Supervisor | None = None,
        *,
        goes: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[None]:
        """Run while the context is entered, then say goodbye.

        Args:
            supervisor: Whose task it is; None for one of its own.
            goes: Whether what is announced goes in the end; another process may go on with it.
        """
        keeper = supervisor or Supervisor()
        name = f"announcement {self._entry().cluster}"
        async with self._store:
            keeper.start(name, self.run, essential=False, trouble=lambda: self.trouble)
            try:
                yield
            finally:
                await asyncio.gather(keeper.end(name), return_exceptions=True)
                if goes():
                    await self.say_goodbye()

    def _next(self, entry: Entry, *, gone: bool = False) -> Heartbeat:
        self._beat += 1
        return Heartbeat(entry, self._beat, gone, time.time())

    async def _rest(self, told: Entry, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY)
            if _is_news(told, self._entry()):
                return

    def _note_lost(self, entry: Entry) -> None:
        self._has_lost = True
        _log.error(
            "%s of cluster %d has another owner by now: this transceiver finishes its calls and "
            "takes no new ones; restart it, and it gets a slot",
            entry.field,
            entry.cluster,
        )
        self._lost()


def _is_news(told: Entry, now: Entry) -> bool:
    """Whether an entry differs from what was told in what others must know at once."""
    load = {"sessions", "flows"}
    before, after = told.as_fields(), now.as_fields()
    return any(before[name] != after[name] for name in before.keys() - load)


async def claim_slot(
    url: str, keys: KeyRing, cluster: int, owner: str, *, slot: int | None
) -> Target:
    """Claim a slot in the registry; where Redis is away this waits until it is back.

    Args:
        url: See `relay.redisurl`.
        keys: As for all of the registry.
        cluster: Of this cluster.
        owner: An identity that survives a restart.
        slot: Which; None for any.

    Raises:
        SlotTakenError: It is somebody else's, who is alive.
        ValueError: The URL is malformed.
    """
    # Spread by the owner's name: two that claim just after Redis was emptied hardly meet.
    wanted = slot if slot is not None else 1 + hash_of(owner) % (_SLOTS - 1)
    backoff, told = Backoff(longest=LONGEST_PAUSE), False
    deadline = time.monotonic() + TTL + BEAT_EVERY
    async with RegistryStore(url, keys) as store:
        while True:
            began = time.monotonic()
            try:
                return await store.claim(
                    cluster,
                    owner,
                    slot=wanted,
                    exact=slot is not None,
                    first=random.randrange(256),  # noqa: S311  # to differ, not to be secret
                )
            except SlotTakenError:
                # Its owner may have died a moment ago.
                if time.monotonic() >= deadline:
                    raise
            except RegistryAwayError as error:
                if not told:
                    _log.warning(
                        "waiting for Redis, which gives this transceiver its slot: %s", error
                    )
                told = True
            await asyncio.sleep(backoff.pause(time.monotonic() - began))


def hash_of(owner: str) -> int:
    """A number that is the same for the same owner everywhere."""
    return zlib.crc32(owner.encode())
