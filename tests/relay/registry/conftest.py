"""People of the registry's tests, and a fleet that follows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network

from relay.config.registry import Relay
from relay.config.targets import Targets
from relay.registry.entry import Entry, RelayEntry, TransceiverEntry
from relay.registry.follower import Follower
from relay.registry.table import FleetTable
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target

KEYS = KeyRing({0: bytes(range(32))}, 0)
VIP = Endpoint("203.0.113.10", 3478)
OWNER, OTHER = "10.0.0.2:5000", "10.0.0.3:5000"


def transceiver(slot: int = 7, generation: int = 3, sessions: int = 0) -> TransceiverEntry:
    addresses = Endpoint.parse(OWNER), Endpoint("10.0.0.2", 9000)
    return TransceiverEntry(Target(1, slot, generation), *addresses, sessions, 70)


def relay(name: str = "fra-1", flows: int = 0) -> RelayEntry:
    return RelayEntry(1, name, (Relay(VIP, name=name),), flows, 100)


@dataclass
class Watcher:
    """Who follows the registry."""

    follower: Follower
    table: FleetTable
    changes: list[None] = field(default_factory=list)

    @property
    def known(self) -> list[str]:
        now = asyncio.get_running_loop().time()  # the monotonic clock
        return [entry.field for entry, silent, _ in self.table.entries(now) if not silent]

    def first(self) -> Entry | None:
        """The first entry."""
        now = asyncio.get_running_loop().time()
        return next((entry for entry, _, _ in self.table.entries(now)), None)


@asynccontextmanager
async def following(
    url: str, keys: KeyRing = KEYS, allowed: str = "10.0.0.0/8", own: str | None = None
) -> AsyncIterator[Watcher]:
    table, changes = FleetTable(Targets((ip_network(allowed),))), list[None]()
    follower = Follower(url, keys, [1], table, lambda: changes.append(None), own=own)
    task = asyncio.create_task(follower.run())
    try:
        yield Watcher(follower, table, changes)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
