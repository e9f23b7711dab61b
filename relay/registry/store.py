"""The registry's commands to Redis: one function each, so that each is atomic.

A cluster N has two hashes, ``icelane:registry:{N}:entries`` and ``icelane:registry:{N}:claims``,
and a channel, ``icelane:registry:{N}``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Self, cast

from redis.exceptions import ResponseError

from relay.errors import FleetError
from relay.redisclient import FAILURES, connect, in_words, require_wanted
from relay.registry.entry import Entry, Heartbeat
from relay.registry.table import TTL
from relay.wire.keys import KeyRing
from relay.wire.route import Target

TIMEOUT = 2.0  # seconds for Redis to answer
#: Seconds for which the slot of a silent owner is kept for him: he may only be cut off from Redis.
KEEP_SLOT = 24 * 3600.0
_TIME_DIGITS = 15  # of milliseconds since 1970, for 30,000 years
_GENERATIONS = 1 << 8
_PREFIX = "icelane:registry:"
_LIBRARY = "library.lua"
_FUNCTIONS = "icelane_registry2_"  # what the names of its functions begin with
_UNKNOWN = ("function not found",)


class RegistryAwayError(FleetError):
    """Redis cannot be asked now; the text says why."""


class SlotTakenError(FleetError):
    """The wanted slot is somebody else's, who is alive."""


class RegistryStore:
    """The registry in one Redis. Use it as an asynchronous context manager.

    Every method gives Redis `TIMEOUT` and raises `RegistryAwayError` when it cannot be asked.

    Args:
        url: See `relay.redisurl`.
        keys: They sign and verify entries.

    Raises:
        ValueError: The URL is malformed.
    """

    def __init__(self, url: str, keys: KeyRing) -> None:
        self._url = url
        self._redis = connect(url, TIMEOUT)
        self._keys = keys

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(*FAILURES):
            await self._redis.aclose()

    async def connect_anew(self) -> None:
        """Forget which servers were found: by now the URL may lead to others."""
        await self.__aexit__()
        self._redis = connect(self._url, TIMEOUT)

    async def claim(
        self, cluster: int, owner: str, *, slot: int, exact: bool, first: int
    ) -> Target:
        """Claim a slot.

        Args:
            cluster: Of this cluster.
            owner: Who claims it; the same owner gets his slot again, with a new generation.
            slot: Which, or from which on where he has none yet.
            exact: Whether no other will do.
            first: The generation of a slot that nobody has had.

        Raises:
            SlotTakenError: It is somebody else's, who is alive.
        """
        wanted = (owner, slot, "exact" if exact else "any", first)
        patience = (_ms(TTL), _ms(KEEP_SLOT))
        told = await self._call("claim", [_claims(cluster)], *wanted, *patience)
        if len(told) > 2:
            other = told[2].decode(errors="replace")
            raise SlotTakenError(
                f"slot {slot} of cluster {cluster} is that of {other}, which is alive: "
                "name another one with --slot, or auto"
            )
        number, generation = told
        if not 0 <= generation < _GENERATIONS:  # one in Redis was no number that can be counted on
            raise RegistryAwayError(
                f"the claim of slot {number} of cluster {cluster} was malformed; it is not any more"
            )
        return Target(cluster, number, generation)

    async def announce(self, heartbeat: Heartbeat, owner: str | None = None) -> bool:
        """Write an entry and tell all who listen.

        Args:
            heartbeat: The entry.
            owner: Who has claimed the slot of a transceiver.

        Returns:
            Whether the slot is his; if not, nothing was written.
        """
        entry = heartbeat.entry
        keys, told = [_entries(entry.cluster)], (*self._written(heartbeat), _ms(TTL))
        if owner is None:
            return bool(await self._call("announce", keys, *told))
        _, slot, generation = entry.target  # type: ignore[union-attr]  # who owns one has a slot
        keys.append(_claims(entry.cluster))
        claim = (slot, generation, owner, _ms(KEEP_SLOT))
        return bool(await self._call("announce", keys, *told, *claim))

    async def withdraw(self, heartbeat: Heartbeat) -> None:
        """Remove an entry, and tell all who listen that it has gone."""
        keys = [_entries(heartbeat.entry.cluster)]
        await self._call("withdraw", keys, *self._written(heartbeat))

    async def read(self, cluster: int) -> list[tuple[bytes, float]]:
        """All entries of a cluster, each with its age in seconds, by Redis's clock alone."""
        told = await self._call("read", [_entries(cluster)])
        now, found = int(told[0]), []
        for field, value in zip(told[1::2], told[2::2], strict=True):
            written, space, line = cast("bytes", value).partition(b" ")
            # One that is odd costs only itself: longer ones are no times, and float takes not all.
            if field != b"swept" and space and written.isdigit() and len(written) <= _TIME_DIGITS:
                # A time to come is that of a clock that was put back, as in library.lua.
                found.append((line, abs(now - int(written)) / 1000))
        return found

    @contextlib.asynccontextmanager
    async def listening(
        self, clusters: Sequence[int]
    ) -> AsyncIterator[AsyncIterator[tuple[int, bytes]]]:
        """What is announced while the context is entered: pairs of cluster and line.

        The iterator raises `RegistryAwayError` when Redis ends the connection. What is lost without
        its end stays unheard: who listens also reads now and then.
        """
        by_channel = {_channel(each).encode(): each for each in clusters}
        with _told_of_redis():
            async with asyncio.timeout(2 * TIMEOUT):
                await self._redis.initialize()  # a cluster's nodes are not known before
        pubsub = self._redis.pubsub()
        try:
            with _told_of_redis():
                async with asyncio.timeout(2 * TIMEOUT):
                    await pubsub.subscribe(*map(_channel, clusters))
            yield _heard(pubsub, by_channel)
        finally:
            with contextlib.suppress(*FAILURES):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _written(self, heartbeat: Heartbeat) -> tuple[str, bytes, str]:
        entry: Entry = heartbeat.entry
        return entry.field, heartbeat.serialize(self._keys), _channel(entry.cluster)

    async def _call(self, function: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Call a function; where Redis does not know it, teach it first."""
        with _told_of_redis():
            async with asyncio.timeout(2 * TIMEOUT):
                try:
                    return await self._fcall(function, keys, arguments)
                except ResponseError as error:
                    if not any(text in str(error).lower() for text in _UNKNOWN):
                        raise
                library = files(__package__).joinpath(_LIBRARY).read_text(encoding="ascii")
                await self._redis.function_load(library, replace=True)
                return await self._fcall(function, keys, arguments)

    def _fcall(
        self, function: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> Awaitable[Any]:
        return self._redis.fcall(_FUNCTIONS + function, len(keys), *keys, *arguments)


async def _heard(pubsub: Any, by_channel: Mapping[bytes, int]) -> AsyncIterator[tuple[int, bytes]]:
    while True:
        with _told_of_redis():
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT)
        if message is not None and message["type"] == "message":
            yield by_channel[message["channel"]], message["data"]


@contextlib.contextmanager
def _told_of_redis() -> Iterator[None]:
    """Whatever the client library raises is that Redis is away; but a cancellation is one."""
    try:
        yield
    except FAILURES as error:
        require_wanted()
        raise RegistryAwayError(in_words(error)) from None
    require_wanted()


def _channel(cluster: int) -> str:
    return f"{_PREFIX}{{{cluster}}}"


def _entries(cluster: int) -> str:
    return f"{_channel(cluster)}:entries"


def _claims(cluster: int) -> str:
    return f"{_channel(cluster)}:claims"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
