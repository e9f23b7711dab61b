"""An agent's mirror: what it finds out is told to the session table."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from relay.core.flow import Command
from relay.core.flowtuple import FlowTuple, Source
from relay.core.session import SessionTable
from relay.dataplane.interface import Dataplane
from relay.dataplane.userspace import UserspaceDataplane
from relay.mirror.dormant import DormantFlows
from relay.mirror.leaving import Leaving
from relay.mirror.mirror import TIMEOUT, Mirror
from relay.mirror.neighbours import LISTEN, Neighbours
from relay.mirror.record import Record
from relay.pace import Pace
from relay.redisclient import connect
from relay.run.config import RelayConfig
from relay.run.executor import now
from relay.supervision import Supervisor
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

_LOOK_EVERY = 0.1  # seconds, at flows that leave


class Recover(Protocol):
    """Goes on with a flow that was found."""

    def __call__(
        self,
        flow: FlowTuple,
        epoch: int,
        waiting: Sequence[bytes],
        *,
        own: bool,
        introduced: Announcement | None = None,
    ) -> object:
        """Do so.

        Args:
            flow: The flow.
            epoch: Its epoch.
            waiting: Datagrams of its client that came meanwhile.
            own: Whether it is this relay's.
            introduced: What an edge has said of its client.
        """


class Mirroring:
    """The mirror of one agent, and what it hears of other relays.

    Args:
        config: The agent's settings; they have the URL of Redis.
        keys: The cluster's keys.
        table: The flows.
        wanted: Which clients are this agent's.

    Attributes:
        mirror: Where flows are written and looked up.

    Raises:
        ValueError: The URL is malformed.
    """

    def __init__(
        self,
        config: RelayConfig,
        keys: KeyRing,
        table: SessionTable,
        wanted: Callable[[Endpoint], bool],
    ) -> None:
        self._owner = config.identity
        self._table = table
        self._execute: Callable[[list[Command]], None] = lambda _: None
        self._recover: Recover = lambda *_, **__: None
        self._ask: Callable[[Source, bytes], None] = lambda *_: None
        self._dataplane: Callable[[], Dataplane] = UserspaceDataplane
        url, counters = config.redis or "", table.counters
        self._dormant = DormantFlows(config.limits.flows, counters, self)
        self._leaving = Leaving(self._sent)
        self.mirror = Mirror(
            partial(connect, url, TIMEOUT),
            keys=keys,
            owner=self._owner,
            vips=config.vips,
            ttl=config.idle,
            flows=self,
            dormant=self._dormant,
            counters=counters,
            wanted=wanted,
        )
        listening = partial(connect, url, TIMEOUT, check_every=LISTEN)
        self._neighbours = Neighbours(listening, config.vips, self.mirror)

    def start(
        self,
        supervisor: Supervisor,
        accepting: asyncio.Event,
        restored: Callable[[float], None],
    ) -> None:
        """Begin to read, and to listen.

        Args:
            supervisor: Whose tasks they are.
            accepting: Set once `serve` was called.
            restored: See `Mirror.run`.
        """
        mirror, neighbours = self.mirror, self._neighbours
        supervisor.start(
            "mirror",
            lambda: mirror.run(accepting, restored),
            essential=False,
            trouble=lambda: mirror.trouble,
        )
        supervisor.start(
            "neighbours",
            lambda: neighbours.run(accepting),
            essential=False,
            trouble=lambda: neighbours.trouble,
        )
        supervisor.start("leaving", self._leave, essential=False, every=_LOOK_EVERY)

    def serve(
        self,
        execute: Callable[[list[Command]], None],
        recover: Recover,
        dataplane: Callable[[], Dataplane],
        ask: Callable[[Source, bytes], None],
    ) -> None:
        """Act on what is found from now on.

        Args:
            execute: Executes the table's commands.
            recover: Goes on with a flow that was found.
            dataplane: What forwards, now.
            ask: Asks others for a client of which Redis knows nothing.
        """
        self._execute, self._recover, self._dataplane = execute, recover, dataplane
        self._ask = ask

    def expected(self) -> Iterator[Source]:
        """The clients of other relays that may come here."""
        return iter(self._dormant)

    # See `relay.mirror.dormant.Expecting`.

    def expect(self, source: Source) -> None:
        """A client of another relay may come here."""
        self._dataplane().expect(source)

    def expect_no_more(self, source: Source) -> None:
        """It will not, or has come."""
        self._dataplane().expect_no_more(source)

    @property
    def dormant(self) -> int:
        """How many flows of other relays are known here."""
        return len(self._dormant)

    # See `relay.mirror.mirror.Flows`.

    def has(self, source: Source) -> bool:
        """Whether a client has a flow here."""
        return self._table.has(source)

    def found(self, record: Record, waiting: Sequence[bytes]) -> None:
        """A client has this flow."""
        own = record.owner == self._owner
        self._recover(record.flow, record.epoch, waiting, own=own, introduced=record.introduced)

    def unknown(self, source: Source, waiting: Sequence[bytes]) -> None:
        """Redis knows nothing of a client: its transceiver may."""
        for data in waiting:
            self._ask(source, data)

    def claimed(self, flow: FlowTuple) -> None:
        """A flow is this relay's in the mirror, too."""
        self._table.ownership.claimed(flow)

    def contested(self, flow: FlowTuple, epoch: int) -> None:
        """Another relay has claimed a flow before."""
        self._execute(self._table.ownership.contested(flow, epoch, now()))

    def lost(self, flow: FlowTuple, epoch: int) -> None:
        """Another relay has taken a flow over: it leaves soon."""
        self._leaving.put(flow, epoch, time.monotonic())

    async def _leave(self) -> None:
        pace = Pace()
        for flow, epoch, is_here in self._leaving.due(time.monotonic()):
            self._execute(self._table.ownership.lost(flow, epoch, now(), is_here=is_here))
            await pace.rest()

    def _sent(self, flow: FlowTuple) -> int:
        """How many packets the client of a flow has sent here.

        Args:
            flow: As any relay has it, with an upstream address of that one.
        """
        ours = self._table.confirmed(flow.client, flow.vip)
        if ours is None:
            return 0
        by_dataplane = self._dataplane().record(ours.addresses).to_transceiver.packets
        return ours.packets_to_transceiver + by_dataplane
