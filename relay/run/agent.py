"""The relay agent: sockets and timers around the session table, whose commands it executes."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from relay import linux
from relay.admin import transport as admin
from relay.admin.commands import AdminCommands
from relay.admin.listing import list_flows
from relay.config.registry import Registry
from relay.core.flow import (
    Alarm,
    CloseUpstream,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    OpenUpstream,
    Recall,
    Remove,
    SendToClient,
    SendToTransceiver,
    State,
    Store,
)
from relay.core.flowtuple import FlowTuple, Source
from relay.core.ports import UpstreamPool
from relay.core.session import SessionTable
from relay.core.throttle import Throttle
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import BindError, DataplaneError
from relay.forwarding.icmp import IcmpSockets
from relay.run.config import RelayConfig
from relay.run.dataplane import open_xdp
from relay.run.sockets import AgentSockets
from relay.run.starttimes import StartTimes
from relay.run.workers.worker import WHOLE, Worker
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.forwarding.ends import Ends
    from relay.mirror.mirror import Mirror

SWEEP_EVERY = 5.0  # seconds

_log = logging.getLogger(__name__)


class Agent:
    """One relay.

    Use it as an asynchronous context manager: it serves from entering to leaving.

    Args:
        config: Its settings.
        keys: The cluster's keys.
        registry: The transceivers.
        dataplane: What forwards confirmed flows, or what gives it once it is loaded. The agent
            closes it.
        worker: What it works on, when it is one of several.

    Raises:
        ConflictError: The registry tells clients other addresses than the settings.
    """

    def __init__(
        self,
        config: RelayConfig,
        keys: KeyRing,
        registry: Registry,
        dataplane: Dataplane | Awaitable[Dataplane],
        worker: Worker | None = None,
    ) -> None:
        self._config = config
        self._worker = worker or WHOLE
        self._registry = registry
        self._opening = dataplane
        self._dataplane: Dataplane
        self._advertised = config.advertised(registry)
        # The lowest cluster's key serves all: the port's hash needs only to be the same each time.
        port_key = keys.port_key(min(registry.clusters, default=0))
        self._table = SessionTable(
            vips=frozenset(config.vips),
            upstreams={
                (transport, family): UpstreamPool(hosts, ports, port_key)
                for family, hosts in config.upstreams_by_family.items()
                for transport, ports in config.ports_by_transport.items()
            },
            registry=registry,
            keys=keys,
            limits=config.limits,
        )
        self._keys = keys
        self._mirror: Mirror | None = None
        self._ends: Ends
        self._sockets: AgentSockets
        self._tasks: list[asyncio.Task[None]] = []
        self._accepting = asyncio.Event()
        self._accepted_at = 0.0  # by the monotonic clock
        self._times = StartTimes()
        self._closing = contextlib.AsyncExitStack()
        self._throttle = Throttle(time.monotonic)

    async def __aenter__(self) -> Self:
        """Start serving.

        Raises:
            BindError: A VIP cannot be bind_udp.
            AdminError: The admin socket cannot be opened.
            DataplaneError: The dataplane cannot be had.
            ValueError: The URL of the mirror is malformed.
        """
        self._closing.push_async_callback(self._cancel_tasks)
        try:
            self._mirror = self._make_mirror()
            if self._mirror is not None:  # it reads while the dataplane is loaded
                self._spawn(self._mirror.run(self._config.vips, self._accepting, self._restored))
            opening = self._opening
            self._dataplane = await opening if isinstance(opening, Awaitable) else opening
            self._closing.callback(self._close_dataplane)
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

    @property
    def forwarder(self) -> DataplaneChoice:
        """What forwards confirmed flows right now."""
        return DataplaneChoice.XDP if self._dataplane.forwards else DataplaneChoice.USERSPACE

    def counters(self) -> dict[str, int]:
        """What the agent itself did, in datagrams by reason."""
        return dict(sorted({**self._table.counters, **self._sockets.dropped()}.items()))

    # `switch` may put another dataplane there, so nobody else asks it directly.

    def dataplane_counters(self) -> dict[str, int]:
        """What the dataplane did with packets, by reason."""
        return self._dataplane.counters()

    def network_changes(self) -> dict[str, int]:
        """Changes to this host's network after which all flows asked the FIB again, by kind."""
        return dict(self._dataplane.changes())

    def flow_counts(self) -> dict[str, int]:
        """How many flows there are, by state."""
        return {state.value: self._table.count(state) for state in State}

    async def switch(self, choice: DataplaneChoice) -> None:
        """Let the kernel forward, or the agent, from now on, without losing a packet.

        Raises:
            DataplaneError: The XDP dataplane cannot be had; all is as it was.
        """
        if choice is DataplaneChoice.USERSPACE:
            # Each flow stays installed, so that the way back is as short.
            await asyncio.to_thread(self._dataplane.deactivate)
        else:
            if isinstance(self._dataplane, UserspaceDataplane):
                await self._load_xdp()
            self._dataplane.watch(asyncio.get_running_loop())
            # In a thread: the kernel takes milliseconds, and what waits here meanwhile would be
            # overtaken by what comes after.
            await asyncio.to_thread(self._dataplane.activate)
        _log.info("the %s dataplane forwards from now on", choice)

    async def _load_xdp(self) -> None:
        # In a thread, because it takes seconds; until `activate` everything comes here.
        dataplane = await asyncio.to_thread(
            open_xdp, self._config, self._keys, self._registry, pass_all=True
        )
        try:
            for flow in self._table:
                if flow.state is State.CONFIRMED and not flow.is_connection:
                    dataplane.install(flow.addresses)
        except DataplaneError:
            dataplane.close()
            raise
        self._dataplane = dataplane

    async def status(self) -> AsyncIterator[Mapping[str, Any]]:
        """What the agent knows of itself, in pieces: the answer to the admin command `status`."""
        yield {
            "pid": os.getpid(),
            "dataplane": self.forwarder,
            "host": self._dataplane.facts.as_json(),
            "start": self._times.as_json(),
            "instance": self._config.instance,
            "vips": [str(vip) for vip in self._config.vips],
            "advertised": [str(each) for each in self._advertised],
            "tcp": [str(each) for each in self._config.tcp],
            "upstreams": list(self._config.upstreams),
            "counters": self.counters(),
            "dataplane_counters": self.dataplane_counters(),
            "network_changes": self.network_changes(),
            "flows": [],
        }
        for piece in list_flows(list(self._table), self._dataplane.record, time.monotonic):
            yield {"flows": piece}
            await asyncio.sleep(0)  # datagrams come first

    async def _start(self) -> None:
        # First of all: it refuses a second agent of this instance.
        server = await admin.serve(self.admin_path, AdminCommands(self).handlers)
        self._closing.callback(self.admin_path.unlink, missing_ok=True)
        self._closing.callback(server.close)
        counters = self._table.counters
        self._sockets = AgentSockets(
            self._config, self._worker, self._dataplane, counters, receiver=self
        )
        self._ends = self._sockets.open(self._closing.enter_context(contextlib.ExitStack()))
        self._serve_metrics()  # in a thread, which asks all of the above
        self._open_icmp(IcmpSockets(asyncio.get_running_loop(), counters, self._find_sent))
        if self._dataplane.forwards:
            self._dataplane.watch(asyncio.get_running_loop())
        self._adopt()
        self._ends.listen()
        self._spawn(self._sweep_periodically())
        self._closing.push_async_callback(self._cancel_tasks)  # before what they use is closed
        self._times = StartTimes.of(self._dataplane.facts, linux.age_of_process())
        self._accepted_at = time.monotonic()
        self._accepting.set()
        if self._mirror is None:
            _log.info("%s", self._times)

    def _serve_metrics(self) -> None:
        if self._config.metrics is None:
            return
        from relay.admin import metrics  # noqa: PLC0415  # 3 MB that a relay without metrics saves

        collector = metrics.RelayCollector(
            self.counters, self.dataplane_counters, self.flow_counts, self.network_changes
        )
        self._closing.enter_context(metrics.serving(self._config.metrics, collector))

    def _make_mirror(self) -> "Mirror | None":
        if self._config.redis is None:
            return None
        from relay.mirror.mirror import Mirror  # noqa: PLC0415  # 12 MB that a relay without Redis saves

        return Mirror(
            self._config.redis,
            keys=self._keys,
            ttl=self._config.idle,
            found=self._restore,
            counters=self._table.counters,
            wanted=self._worker.shard.has,
        )

    def _close_dataplane(self) -> None:
        self._dataplane.close()

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

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _adopt(self) -> None:
        now = _now()
        for flow in self._dataplane.tuples():
            self._execute(self._table.adopt(flow, now))
        if adopted := self._table.counters["adopted"]:
            _log.info("adopted %d flows that the kernel forwards", adopted)

    # What happens

    def from_client(self, data: bytes, source: Source) -> None:
        """See `Receiver.from_client`."""
        self._execute(self._table.from_client(data, source, _now()))

    def from_transceiver(self, flow: Flow, data: bytes) -> None:
        """See `Receiver.from_transceiver`."""
        self._execute(self._table.from_transceiver(data, flow, _now()))

    def disconnected(self, flow: Flow) -> None:
        """See `Receiver.disconnected`."""
        self._execute(self._table.disconnected(flow, _now()))

    def _restore(self, flow: FlowTuple) -> None:
        self._execute(self._table.restore(flow, _now()))

    def _restored(self, since: float) -> None:
        """The flows that the mirror had are restored; it began to read them at this moment."""
        restoring = time.monotonic() - max(since, self._accepted_at)
        self._times = self._times.restored(restoring, self._table.counters["restored"])
        _log.info("%s", self._times)

    async def _sweep_periodically(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            forwards = self._dataplane.forwards
            self._execute(self._table.sweep(_now(), dataplane_forwards=forwards))
            try:
                await self._expire_idle()
                for change in await asyncio.to_thread(self._dataplane.reconcile):
                    _log.warning("%s", change)
            except DataplaneError as error:
                self._alarm("the dataplane needs a look: %s", error)

    async def _expire_idle(self) -> None:
        for idle in self._dataplane.idle(time.monotonic() - self._table.limits.idle):
            self._execute(self._table.expire(idle, _now()))
            await asyncio.sleep(0)  # datagrams come first

    # What is done about it

    def _execute(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case SendToTransceiver(flow, data):
                    self._ends.send_to_transceiver(flow, data)
                case SendToClient(flow, data):
                    self._ends.send_to_client(flow, data)
                case OpenUpstream(flow):
                    if not self._open_upstream(flow):
                        return  # what follows is of this flow
                case CloseUpstream(flow):
                    self._ends.close(flow)
                case Install(flow):
                    if not self._install(flow):
                        return
                case Remove(flow):
                    self._dataplane.remove(flow.addresses)
                case _:
                    self._tell(command)

    def _tell(self, command: Store | Forget | Recall | Alarm) -> None:
        if isinstance(command, Alarm):
            self._alarm("%s", command.text)
            return
        if self._mirror is None:
            return
        match command:
            case Store(flow):
                self._mirror.store(flow.addresses)
            case Forget(flow):
                self._mirror.forget(flow.addresses)
            case Recall(client, vip):
                self._mirror.recall(client, vip)

    def _open_upstream(self, flow: Flow) -> bool:
        while True:
            try:
                opened = self._ends.open(flow)
            except BindError as error:
                self._alarm("no upstream socket: %s", error)
                self._execute(self._table.give_up(flow, _now()))
                return False
            if opened:
                return True
            # A flow that the kernel forwards keeps its port: the other process cannot be reached
            # at it anyway. It goes on without a socket of the agent's.
            if flow.state is State.CONFIRMED:
                self._alarm(
                    "another process has the upstream port %s of a flow", flow.addresses.upstream
                )
                return True
            if not self._table.change_port(flow, _now()):
                return False

    def _install(self, flow: Flow) -> bool:
        try:
            self._dataplane.install(flow.addresses)
        except DataplaneFull as error:
            self._alarm("a new flow was refused: %s", error)
        except DataplaneError as error:
            self._alarm("a new flow could not be installed: %s", error)
        else:
            self._ends.confirm(flow)
            return True
        self._execute(self._table.give_up(flow, _now()))
        return False

    def _alarm(self, text: str, reason: object) -> None:
        if self._throttle.allows(text):
            _log.error(text, reason)


def _now() -> Instant:
    return Instant(time.monotonic(), time.time())
