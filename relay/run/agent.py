"""The relay agent: sockets and timers around the session table, whose commands it executes."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from relay import linux
from relay.admin import transport as admin
from relay.admin.commands import AdminCommands
from relay.admin.flowcommands import FlowCommands
from relay.config.directory import Directory
from relay.config.keyfile import KeyFile
from relay.core.flow import (
    Command,
    Flow,
    State,
)
from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.forwarding.icmp import IcmpSockets, open_icmp_socket
from relay.loopturns import LoopTurns, turns_of
from relay.run.asking import Asker
from relay.run.config import RelayConfig
from relay.run.executor import Executor, now
from relay.run.fleet import Fleet
from relay.run.housekeeping import Housekeeping
from relay.run.keeper import LOOK_AFTER, DataplaneKeeper
from relay.run.newtable import new_table
from relay.run.receiver import Guarded
from relay.run.sockets import AgentSockets
from relay.run.starttimes import StartTimes
from relay.run.state import AgentState
from relay.run.takeover.succession import Succession
from relay.run.workers.worker import WHOLE, Worker
from relay.supervision import Supervisor
from relay.tracing.config import TracingConfig
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.forwarding.ends import Ends
    from relay.run.helper.client import Helper
    from relay.run.mirroring import Mirroring
    from relay.run.takeover.predecessor import Predecessor

SWEEP_EVERY = 5.0  # seconds

_log = logging.getLogger(__name__)


class Agent:
    """One relay.

    Use it as an asynchronous context manager: it serves from entering to leaving.

    Args:
        config: Its settings.
        keys: The cluster's keys, or their file, which is read again when it changes.
        registry: The transceivers.
        dataplane: What forwards confirmed flows, or what gives it once it is loaded. The agent
            closes it.
        worker: What it works on, when it is one of several, or has sockets of an agent before it.
        predecessor: The agent whose place it takes.
        helper: Does what takes privileges that this process has given up; the agent closes it.

    Attributes:
        state: What it tells of itself; there is none before it serves.

    Raises:
        ConflictError: The registry tells clients other addresses than the settings.
        KeyFileError: A file of edge keys cannot be used.
    """

    def __init__(
        self,
        config: RelayConfig,
        keys: KeyRing | KeyFile,
        registry: Directory,
        dataplane: Dataplane | Awaitable[Dataplane],
        worker: Worker | None = None,
        *,
        predecessor: "Predecessor | None" = None,
        helper: "Helper | None" = None,
    ) -> None:
        self._config = config
        self._worker = worker or WHOLE
        self._registry = registry
        self._opening = dataplane
        self._helper = helper
        self._keeper: DataplaneKeeper
        self._advertised = config.advertised(registry.written)
        self._fleet = Fleet(config, keys, registry)
        self._keys = self._fleet.keys
        self._succession = Succession(
            config.workers,
            predecessor,
            dataplane=lambda: self._dataplane,
            fleet=self._fleet,
            release=self._release,
        )
        self._table = new_table(
            config,
            self._keys,
            self._fleet.edge_keys,
            registry,
            heard=lambda flow: self._dataplane.record(flow).to_transceiver.last_seen,
        )
        self._mirroring: Mirroring | None = None
        self._ends: Ends
        self._executor: Executor
        self._sockets: AgentSockets
        self._supervisor = Supervisor()
        self._turns = LoopTurns()
        self.state: AgentState
        self._accepting = asyncio.Event()
        self._accepted_at = 0.0  # by the monotonic clock
        self._opened: contextlib.ExitStack
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start serving.

        Raises:
            BindError: A VIP cannot be bound.
            AdminError: The admin socket cannot be opened.
            DataplaneError: The dataplane cannot be had.
            ValueError: The URL of the mirror is malformed.
        """
        loop = asyncio.get_running_loop()
        self._turns = turns_of(loop)
        self._supervisor.faults.guard(loop)
        self._closing.push_async_callback(self._supervisor.stop)
        self._closing.callback(self._succession.close)
        if self._helper is not None:
            self._closing.callback(self._helper.close)
        try:
            self._mirroring = self._make_mirroring()
            if self._mirroring is not None:  # it reads while the dataplane is loaded
                self._mirroring.start(self._supervisor, self._accepting, self._restored)
            self._fleet.follow(self._supervisor)
            opening = self._opening
            self._keeper = DataplaneKeeper(
                self._config,
                self._keys,
                self._registry,
                self._table,
                await opening if isinstance(opening, Awaitable) else opening,
                kernel=self._helper,
            )
            self._closing.callback(self._keeper.close)
            self._fleet.on_rekey(self._keeper.rekey)
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving; what a pinned dataplane holds goes on being forwarded."""
        await self._closing.aclose()

    @property
    def admin_path(self) -> Path:
        """Where the admin socket is."""
        return self._config.admin_path

    async def succeeded(self) -> None:
        """Wait until another agent has taken this one's place."""
        await self._succession.ended.wait()

    def drain(self, *, on: bool) -> None:
        """See `Fleet.drain`."""
        self._fleet.drain(on=on)

    async def switch(self, choice: DataplaneChoice) -> None:
        """See `DataplaneKeeper.switch`."""
        await self._keeper.switch(choice)

    async def unload(self) -> bool:
        """See `DataplaneKeeper.unload`."""
        return await self._keeper.unload()

    async def _start(self) -> None:
        counters = self._table.counters
        self._sockets = AgentSockets(
            self._config,
            self._worker,
            self._dataplane,
            counters,
            receiver=Guarded(self, self._supervisor.faults),
            helper=self._helper,
        )
        self.state = self._make_state()
        flows = FlowCommands(
            self._table,
            dataplane=lambda: self._dataplane,
            execute=self._execute,
            now=now,
            owner=self._config.identity,
            fetch=self._mirroring.mirror.fetch if self._mirroring is not None else None,
        )
        # Before anything is opened: it refuses a second agent of this instance.
        server = await admin.serve(
            self.admin_path,
            {**AdminCommands(self.state, self).handlers, **flows.handlers},
            {**self._succession.conversations, **flows.conversations},
            beside=self._succession.is_pending,
        )
        self._closing.callback(server.close)
        if self._config.tracing is not None:
            await self._trace(self._config.tracing)
        self._opened = self._closing.enter_context(contextlib.ExitStack())
        self._ends = self._sockets.open(self._opened)
        mirror = self._mirroring.mirror if self._mirroring is not None else None
        ask = self._open_asker().ask
        self._executor = Executor(self._table, self._ends, lambda: self._dataplane, mirror, ask)
        if self._mirroring is not None:
            self._mirroring.serve(
                self._executor.execute, self._recover, lambda: self._dataplane, ask
            )
        self._serve_metrics()  # in a thread, which asks all of the above
        open_icmp = self._helper.open_icmp_socket if self._helper else open_icmp_socket
        self._open_icmp(
            IcmpSockets(asyncio.get_running_loop(), counters, self._find_sent, open_icmp)
        )
        expected = self._mirroring.expected if self._mirroring is not None else tuple
        self._keeper.start(self._sockets.unsteer, expected)
        keep = Housekeeping(self._table, self._keeper, self._executor)
        self._succession.begin(self._table.handoff, self._sockets, keep.adopt)
        server.take_place()
        await self._accept()
        self._supervisor.start("sweep", keep.sweep, essential=True, every=SWEEP_EVERY)
        if self._worker.is_whole:
            self._supervisor.start("repair", keep.repair, essential=False, every=LOOK_AFTER)
        self._closing.push_async_callback(self._supervisor.stop)  # before what they use is closed
        if self._worker.is_whole:
            announcing = self._fleet.announcing(self.state.load, self._supervisor)
            await self._closing.enter_async_context(announcing)
        if self._mirroring is None:
            _log.info("%s", self.state.times)

    async def _accept(self) -> None:
        """Restore flows, and take packets from now on."""
        self.state.times = StartTimes.of(self._dataplane.facts, linux.age_of_process())
        self._accepted_at = time.monotonic()
        self._accepting.set()
        # What the mirror has read meanwhile comes before the first packet, which could make a flow
        # anew at another upstream port. What it has not, nobody waits for.
        await asyncio.sleep(0)
        self._ends.listen()

    def _make_state(self) -> AgentState:
        return AgentState(
            self._config,
            advertised=self._advertised,
            fleet=self._fleet,
            table=self._table,
            keeper=self._keeper,
            sockets=self._sockets,
            mirroring=self._mirroring,
            supervisor=self._supervisor,
            turns=self._turns,
            is_serving=self._accepting.is_set,
        )

    async def _trace(self, tracing: TracingConfig) -> None:
        from relay.run.flowspans import tracing_flows  # noqa: PLC0415  # 6 MB that others save

        instance = f"{self._config.identity}-{self._worker.shard.index}"
        flows = tracing_flows(tracing, instance, self._table.events, lambda: self.state.forwarder)
        self.state.spans = await self._closing.enter_async_context(flows)

    def _serve_metrics(self) -> None:
        if self._config.metrics is None:
            return
        from relay.admin import metrics  # noqa: PLC0415  # 3 MB that a relay without metrics saves

        state = self.state
        collector = metrics.RelayCollector(
            agent=state.counters,
            dataplane=state.dataplane_counters,
            flows=state.flow_counts,
            changes=state.network_changes,
            used=state.used,
            limits=state.limits,
            setups=state.setups,
            usage=state.usage,
            mirror=state.mirror,
        )
        listener = self._worker.metrics or metrics.listen(self._config.metrics)
        self._succession.metrics = {self._config.metrics: listener}
        self._closing.enter_context(metrics.serving(listener, collector, state))

    def _release(self) -> None:
        """Let go of all flows and sockets: another agent has them."""
        self._executor.retire()
        self._opened.close()

    def _make_mirroring(self) -> "Mirroring | None":
        if self._config.redis is None:
            return None
        from relay.run.mirroring import Mirroring  # noqa: PLC0415  # 12 MB that a relay without Redis saves

        return Mirroring(self._config, self._keys, self._table, self._worker.shard.has)

    def _open_asker(self) -> Asker:
        asker = Asker(
            self._keys,
            self._registry,
            self._config.upstreams_by_family,
            self._table.counters,
            randbytes=secrets.token_bytes,
            found=self._told,
        )
        self._closing.callback(asker.close)
        asker.open()
        return asker

    @property
    def _dataplane(self) -> Dataplane:
        return self._keeper.dataplane

    def _open_icmp(self, sockets: IcmpSockets) -> None:
        self._closing.callback(sockets.shutdown)
        try:
            sockets.open({vip.host for vip in self._config.vips} | set(self._config.upstreams))
        except OSError as error:
            _log.warning(
                "ICMP errors about relayed packets are not passed on: no raw socket (%s); "
                "it needs root or CAP_NET_RAW",
                error.strerror,
            )

    def _find_sent(self, source: Endpoint, destination: Endpoint) -> FlowTuple | None:
        """The confirmed flow that has the relay send packets from one address to the other."""
        flow = self._table.confirmed(destination, source) or self._ends.find_upstream(source)
        if flow is None or flow.state is not State.CONFIRMED:
            return None
        parts = flow.addresses
        sent = (parts.vip, parts.client), (parts.upstream, parts.transceiver)
        return parts if (source, destination) in sent else None

    def _execute(self, commands: Iterable[Command]) -> None:
        self._executor.execute(commands)

    # What happens

    def from_client(self, data: bytes, source: Source, tos: int = 0) -> None:
        """See `Receiver.from_client`."""
        commands = self._table.from_client(data, source, now())
        self._executor.execute(commands, received=data, tos=tos)

    def from_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Receiver.from_transceiver`."""
        commands = self._table.from_transceiver(data, flow, now())
        self._executor.execute(commands, received=data, tos=tos)

    def at_upstream(self, upstream: bytes) -> Flow | None:
        """See `Receiver.at_upstream`."""
        return self._table.at_upstream(upstream)

    def disconnected(self, flow: Flow) -> None:
        """See `Receiver.disconnected`."""
        self._executor.execute(self._table.disconnected(flow, now()))

    def _told(self, flow: FlowTuple, epoch: int, waiting: Sequence[bytes]) -> None:
        """A transceiver has told of the flow of a client."""
        self._recover(flow, epoch, waiting, own=flow.upstream.host in self._config.upstreams)

    def _recover(
        self,
        flow: FlowTuple,
        epoch: int,
        waiting: Sequence[bytes],
        *,
        own: bool,
        introduced: Announcement | None = None,
    ) -> None:
        """Go on with a flow that was found, and with the client's datagrams that wait for it."""
        restored = self._table.ownership.restore(
            flow, now(), epoch=epoch, own=own, introduced=introduced
        )
        self._executor.execute(restored)
        source = Source(flow.client, flow.vip)
        for data in waiting if self._table.has(source) else ():
            self.from_client(data, source)

    def _restored(self, since: float) -> None:
        """The flows that the mirror had are restored; it began to read them at this moment."""
        restoring = time.monotonic() - max(since, self._accepted_at)
        restored = self._table.counters["restored"]
        self.state.times = self.state.times.restored(restoring, restored)
        _log.info("%s", self.state.times)
