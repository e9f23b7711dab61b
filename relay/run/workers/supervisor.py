"""Several workers as one relay: who starts them, starts them again, and answers for them.

Each worker is an agent in a process of its own, on a processor of its own, with its own clients,
flows and upstream ports: they share nothing. What they would lose with a process is kept here:
their sockets on the VIPs, in which datagrams wait while a worker is started again.
"""

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from relay.admin import transport as admin
from relay.children import Child
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError
from relay.forwarding.tcp import bind_tcp
from relay.loopturns import LoopTurns, turns_of
from relay.run.config import RelayConfig
from relay.run.fleet import Fleet, Load
from relay.run.takeover.channel import Channel
from relay.run.takeover.handed import HandedSockets
from relay.run.takeover.offer import COMMAND, Offer
from relay.run.takeover.predecessor import Predecessor
from relay.run.workers import aggregate
from relay.run.workers.flows import WorkerFlows
from relay.run.workers.reuseport import open_reuseport_group
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    import socket

LOOK_EVERY = 2.0  # seconds between two looks at how many flows the workers have

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is given when it starts.

    Attributes:
        index: Its number, from 0.
        processor: The one that it runs on.
        seed: By which clients are distributed; see `relay.run.workers.shard`.
        fds: Its sockets on the VIPs, which it inherits.
        listeners: The sockets on which clients connect. All workers have the same: whichever is
            free accepts, and while one is started again the others do.
    """

    index: int
    processor: int
    seed: int
    fds: Mapping[Endpoint, int]
    listeners: Mapping[Endpoint, int]


class Workers:
    """The workers of a relay. Use it as an asynchronous context manager, like an `Agent`.

    Args:
        config: The relay's settings.
        seed: By which clients are distributed; see `relay.run.workers.shard`.
        command: Makes the command line of a worker, which prints a line when it serves.
        inherited: A descriptor that workers inherit beside their sockets.
        advertised: What clients are told of the relay.
        fleet: The relay's part in the registry.
        predecessor: The supervisor whose place it takes, if there is one. Each of its workers takes
            the place of one of that one's.
    """

    def __init__(
        self,
        config: RelayConfig,
        seed: int,
        command: Callable[[Task], Sequence[str]],
        inherited: int,
        *,
        advertised: Sequence[Endpoint],
        fleet: Fleet,
        predecessor: Predecessor | None = None,
    ) -> None:
        self._config = config
        # That goes with the sockets, whatever keys are now.
        self._seed = int(predecessor.about["seed"]) if predecessor is not None else seed
        self._predecessor = predecessor
        self._handed = predecessor.sockets if predecessor is not None else HandedSockets()
        self._own = HandedSockets()
        self._ended = asyncio.Event()
        self._command = command
        self._inherited = inherited
        self._advertised = advertised
        self._fleet = fleet
        self._known = Load(0, config.room)
        self._paths = [config.worker(index).admin_path for index in range(config.workers)]
        self._tasks: list[Task] = []
        self._children: dict[int, Child] = {}
        self._counters: Counter[str] = Counter()
        self._supervisor = Supervisor()
        self._turns = LoopTurns()
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all workers.

        Raises:
            AdminError: The admin socket cannot be opened.
            BindError: A VIP cannot be bound.
            WorkerError: A worker does not start.
        """
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all workers."""
        await self._closing.aclose()

    async def succeeded(self) -> None:
        """Wait until another supervisor has taken this one's place."""
        await self._ended.wait()

    # See `relay.admin.health.Health`.

    @property
    def forwarder(self) -> DataplaneChoice:
        """What forwards: the workers do."""
        return DataplaneChoice.USERSPACE

    @property
    def turns(self) -> LoopTurns:
        """How long turns of this process's event loop take; each worker has one of its own."""
        return self._turns

    @property
    def clock_ahead(self) -> float:
        """See `Fleet.clock_ahead`."""
        return self._fleet.clock_ahead

    def unready(self) -> list[str]:
        """Why no new clients should come, a phrase each."""
        troubles = [
            f"{child.name}: {trouble}"
            for _, child in sorted(self._children.items())
            for trouble in child.troubles
        ]
        return troubles + self._fleet.unready + self._troubles()

    def _troubles(self) -> list[str]:
        return [f"{task} fails" for task in self._supervisor.troubles]

    async def _look_at_load(self) -> None:
        used = await aggregate.numbers(self._paths, "used")
        room = await aggregate.numbers(self._paths, "limits")
        ill = any([self._troubles(), *(child.troubles for child in self._children.values())])
        self._known = Load(used.get("flows", 0), room.get("flows", 0), ill)

    async def _drain(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        self._fleet.drain(on=request.get("on") is not False)
        yield {"draining": self._fleet.draining}

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The background tasks of this process."""
        return self._supervisor.states()

    def failures(self) -> dict[str, int]:
        """How often each of them, or another place, has failed."""
        return self._supervisor.failures()

    async def _start(self) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        self._turns = turns_of(loop)
        self._supervisor.faults.guard(loop)
        if self._predecessor is not None:
            self._closing.callback(self._predecessor.close)
        flows = WorkerFlows(self._paths)
        # First of all: it refuses a second relay of this instance.
        server = await admin.serve(
            config.admin_path,
            {
                "status": self._status,
                "overview": self._overview,
                "busiest": self._busiest,
                "counters": self._sum_of("counters"),
                "flow_counts": self._sum_of("flow_counts"),
                "used": self._sum_of("used"),
                "limits": self._sum_of("limits"),
                "keys": self._keys,
                "setups": self._sum_of("setups"),
                "switch": self._switch,
                "drain": self._drain,
                **flows.handlers,
            },
            {COMMAND: self._offer().serve, **flows.conversations},
            beside=self._predecessor is not None,
        )
        self._closing.callback(server.close)
        self._open_sockets()
        self._serve_metrics()
        self._closing.push_async_callback(self._stop)
        self._children = {task.index: self._child(task) for task in self._tasks}
        started = (child.start() for child in self._children.values())
        for error in await asyncio.gather(*started, return_exceptions=True):
            if error is not None:
                raise error
        self._keep_children()
        if self._predecessor is not None:
            self._succeed(self._predecessor)
        server.take_place()
        self._closing.push_async_callback(self._supervisor.stop)
        self._fleet.follow(self._supervisor)
        self._supervisor.start("load", self._look_at_load, essential=False, every=LOOK_EVERY)
        announcing = self._fleet.announcing(lambda: self._known, self._supervisor)
        await self._closing.enter_async_context(announcing)

    def _keep_children(self) -> None:
        for child in self._children.values():
            self._supervisor.start(
                child.name, child.keep, essential=True, trouble=partial(_trouble, child)
            )

    # One supervisor takes another's place

    def _succeed(self, predecessor: Predecessor) -> None:
        predecessor.hold()
        for message, _ in predecessor.give():
            self._fleet.drain(on=message["draining"])
        predecessor.relieve()
        predecessor.close()

    def _offer(self) -> Offer:
        def leave() -> None:
            self._fleet.goes_on = True
            self._ended.set()

        def give(channel: Channel) -> None:
            channel.send({"draining": self._fleet.draining})
            channel.send({"end": True})

        def asked() -> None:  # workers that hand over end, and are not to be started again
            for child in self._children.values():
                self._supervisor.end(child.name)

        return Offer(
            workers=self._config.workers,
            sockets=lambda: self._own,
            give=give,
            leave=leave,
            about=lambda: {"seed": self._seed},
            asked=asked,
            resumed=self._keep_children,
        )

    def _open_sockets(self) -> None:
        count = self._config.workers
        processors = sorted(os.sched_getaffinity(0))
        if count > len(processors):
            _log.warning("%d workers share %d processors", count, len(processors))
        handed = self._handed.only(self._config.vips, self._config.tcp, self._config.metrics)
        self._closing.callback(handed.close)
        groups: dict[Endpoint, Sequence[socket.socket]] = {}
        for vip in self._config.vips:
            groups[vip] = handed.vips.get(vip) or open_reuseport_group(vip, count, self._seed)
            for udp in groups[vip]:
                self._closing.callback(udp.close)
        listeners = {
            address: handed.listeners.get(address) or bind_tcp(address)
            for address in self._config.tcp
        }
        for listener in listeners.values():
            self._closing.callback(listener.close)
        self._own = HandedSockets(groups, listeners, handed.metrics)
        listening = {address: listener.fileno() for address, listener in listeners.items()}
        for index in range(count):
            fds = {vip: group[index].fileno() for vip, group in groups.items()}
            self._tasks.append(
                Task(index, processors[index % len(processors)], self._seed, fds, listening)
            )

    def _child(self, task: Task) -> Child:
        return Child(
            f"worker {task.index}",
            self._command(task),
            fds=(self._inherited, *task.fds.values(), *task.listeners.values()),
            counters=self._counters,
            log=_log,
        )

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    def _serve_metrics(self) -> None:
        if self._config.metrics is None:
            return
        from relay.admin import metrics  # noqa: PLC0415  # 3 MB that a relay without metrics saves

        # These ask in the thread that serves them.
        collector = metrics.RelayCollector(
            agent=lambda: aggregate.add_up(
                [self._counters, aggregate.ask_all(self._paths, "counters")]
            ),
            dataplane=dict,
            flows=lambda: aggregate.ask_all(self._paths, "flow_counts"),
            changes=dict,
            used=lambda: aggregate.ask_all(self._paths, "used"),
            limits=lambda: aggregate.ask_all(self._paths, "limits"),
            setups=lambda: aggregate.ask_all(self._paths, "setups"),
        )
        handed = self._own.metrics.get(self._config.metrics)
        listener = handed or metrics.listen(self._config.metrics)
        self._own = replace(self._own, metrics={self._config.metrics: listener})
        self._closing.enter_context(metrics.serving(listener, collector, self))

    # Admin commands

    def _status(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        return aggregate.status(self._paths, self._head())

    async def _overview(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield await aggregate.overview(self._paths, self._head())

    async def _busiest(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield await aggregate.busiest(self._paths, request)

    def _head(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "dataplane": DataplaneChoice.USERSPACE,
            "loaded": False,
            "instance": self._config.instance,
            "vips": [str(vip) for vip in self._config.vips],
            "advertised": [str(each) for each in self._advertised],
            "tcp": [str(each) for each in self._config.tcp],
            "upstreams": list(self._config.upstreams),
            "transceivers": [each.as_json() for each in self._fleet.directory.transceivers],
            "registry": self._fleet.status(),
            "workers": [
                {"pid": self._children[task.index].pid, "processor": task.processor}
                for task in self._tasks
                if task.index in self._children and self._children[task.index].pid
            ],
            "counters": self._counters,
            "ready": not self.unready(),
            "tasks": self.tasks(),
            "failures": self.failures(),
            "loop": self._turns.as_json(),
        }

    def _sum_of(self, command: str) -> admin.Handler:
        async def answer(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
            own = self._counters if command == "counters" else {}
            yield aggregate.add_up([own, await aggregate.numbers(self._paths, command)])

        return answer

    async def _keys(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield await aggregate.keys(self._paths, self._fleet.keys)

    async def _switch(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        if request.get("dataplane") != DataplaneChoice.USERSPACE:
            raise AdminError(
                "several workers forward in userspace only: to switch to XDP, "
                "start the relay without --workers"
            )
        yield {"dataplane": DataplaneChoice.USERSPACE}


def _trouble(child: Child) -> str | None:
    """What troubles a worker first, which is no failure of the task that keeps it."""
    return next(iter(child.troubles), None)
