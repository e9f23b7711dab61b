"""Asks Redis: whether it can be used, what time it has, and who is in the registry."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from relay.config.registry import Transceiver
from relay.config.targets import Targets
from relay.config.urls import without_secrets
from relay.doctor.peers import Asked
from relay.redisclient import FAILURES, SILENT, connect, in_words
from relay.registry.entry import EntryError, Heartbeat
from relay.registry.follower import machine
from relay.registry.store import RegistryStore
from relay.registry.table import TTL, FleetTable
from relay.wire.keys import KeyRing

_LIMIT = 2.0  # seconds, as a relay gives it
# To a server without it, what TLS begins with is a command that has not ended.
_NO_TLS = ": if it speaks no TLS, write redis:// in place of rediss://"
_KEY, _KEPT = "icelane:doctor", 1000  # written to see whether it can be; milliseconds


@dataclass(frozen=True, slots=True)
class Registered:
    """What stands in the registry in Redis.

    Attributes:
        transceivers: Those that have announced themselves.
        clocks: What the clocks of all say, as far as they tell.
        refused: Why entries are refused, in words; empty where none is.
    """

    transceivers: tuple[Transceiver, ...] = ()
    clocks: tuple[Asked, ...] = ()
    refused: str = ""


async def ask(url: str) -> Asked:
    """Whether Redis takes what a relay writes: a key is written that expires after a second.

    Raises:
        ValueError: The URL is malformed.
    """
    client, name = connect(url, _LIMIT), without_secrets(url)
    try:
        async with asyncio.timeout(2 * _LIMIT):
            started = time.monotonic()
            await client.set(_KEY, b"1", px=_KEPT)
            took = time.monotonic() - started
            ahead = time.time() - _seconds(await client.time())
    except FAILURES as error:
        words = in_words(error)
        hint = _NO_TLS if url.startswith("rediss") and words == SILENT else ""
        return Asked(name, words + hint)
    finally:
        await client.aclose()
    return Asked(name, None, f"{name} takes what is written, in {took * 1000:.1f} ms", ahead)


async def registered(
    url: str, keys: KeyRing, clusters: Collection[int], targets: Targets
) -> Registered:
    """Who has announced himself in the registry.

    Args:
        url: Where it is.
        keys: They verify entries.
        clusters: Whose.
        targets: Where transceivers may be.

    Raises:
        FleetError: Redis cannot be asked.
        ValueError: The URL is malformed.
    """
    table, clocks, refused = FleetTable(targets), [], ""
    async with RegistryStore(url, keys) as store:
        for cluster in sorted(clusters):
            for line, age in await store.read(cluster):
                try:
                    heartbeat = Heartbeat.parse(line, cluster, keys)
                    table.take(heartbeat, 0.0, age)
                except EntryError as error:
                    refused = str(error)
                    continue
                if heartbeat.time is not None and age < TTL:
                    ahead = time.time() - heartbeat.time - age
                    clocks.append(Asked(machine(heartbeat.entry), None, ahead=ahead))
    return Registered(table.registry(0.0).transceivers, tuple(clocks), refused)


def _seconds(told: Any) -> float:
    """What Redis says of its time: seconds and microseconds; of a cluster, one for each server."""
    seconds, microseconds = next(iter(told.values())) if isinstance(told, dict) else told
    return int(seconds) + int(microseconds) / 1e6
