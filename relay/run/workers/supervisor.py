"""Several workers as one relay: who starts them, starts them again, and answers for them.

Each worker is an agent in a process of its own, on a processor of its own, with its own clients,
flows and upstream ports: they share nothing. What they would lose with a process is kept here:
their sockets on the VIPs, in which datagrams wait while a worker is started again.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from relay.admin import transport as admin
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError, WorkerError
from relay.forwarding.tcp import bind_tcp
from relay.run.config import RelayConfig
from relay.run.workers import aggregate
from relay.run.workers.reuseport import open_reuseport_group
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    import socket

START_SECONDS = 30.0
STOP_SECONDS = 5.0
# A worker that ends as soon as it starts is not started more often.
PAUSE = 1.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is given when it starts.

    Attributes:
        index: Its number, from 0.
        processor: The one that it runs on.
        fds: Its sockets on the VIPs, which it inherits.
        listeners: The sockets on which clients connect. All workers have the same: whichever is
            free accepts, and while one is started again the others do.
    """

    index: int
    processor: int
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
    """

    def __init__(
        self,
        config: RelayConfig,
        seed: int,
        command: Callable[[Task], Sequence[str]],
        inherited: int,
        *,
        advertised: Sequence[Endpoint],
    ) -> None:
        self._config = config
        self._seed = seed
        self._command = command
        self._inherited = inherited
        self._advertised = advertised
        self._paths = [config.worker(index).admin_path for index in range(config.workers)]
        self._tasks: list[Task] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._counters: Counter[str] = Counter()
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

    async def _start(self) -> None:
        config = self._config
        # First of all: it refuses a second relay of this instance.
        server = await admin.serve(
            config.admin_path,
            {
                "status": self._status,
                "counters": self._sum_of("counters"),
                "flow_counts": self._sum_of("flow_counts"),
                "switch": self._switch,
            },
        )
        self._closing.callback(config.admin_path.unlink, missing_ok=True)
        self._closing.callback(server.close)
        self._serve_metrics()
        self._open_sockets()
        self._closing.push_async_callback(self._stop)
        started = (self._launch(task) for task in self._tasks)
        for error in await asyncio.gather(*started, return_exceptions=True):
            if error is not None:
                raise error
        keepers = [asyncio.create_task(self._keep(task)) for task in self._tasks]
        self._closing.push_async_callback(_cancel, keepers)

    def _open_sockets(self) -> None:
        count = self._config.workers
        processors = sorted(os.sched_getaffinity(0))
        if count > len(processors):
            _log.warning("%d workers share %d processors", count, len(processors))
        groups: dict[Endpoint, list[socket.socket]] = {}
        for vip in self._config.vips:
            groups[vip] = open_reuseport_group(vip, count, self._seed)
            for udp in groups[vip]:
                self._closing.callback(udp.close)
        listeners = {address: bind_tcp(address) for address in self._config.tcp}
        for listener in listeners.values():
            self._closing.callback(listener.close)
        listening = {address: listener.fileno() for address, listener in listeners.items()}
        for index in range(count):
            fds = {vip: group[index].fileno() for vip, group in groups.items()}
            self._tasks.append(Task(index, processors[index % len(processors)], fds, listening))

    def _serve_metrics(self) -> None:
        if self._config.metrics is None:
            return
        from relay.admin import metrics  # noqa: PLC0415  # 3 MB that a relay without metrics saves

        # These ask in the thread that serves them.
        collector = metrics.RelayCollector(
            lambda: aggregate.add_up([self._counters, aggregate.ask_all(self._paths, "counters")]),
            dict,
            lambda: aggregate.ask_all(self._paths, "flow_counts"),
            dict,
        )
        self._closing.enter_context(metrics.serving(self._config.metrics, collector))

    # Processes

    async def _launch(self, task: Task) -> None:
        """Start a worker, and wait until it serves.

        Raises:
            WorkerError: It ends before that, or takes too long.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command(task),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(self._inherited, *task.fds.values(), *task.listeners.values()),
            # A Ctrl-C is for this process, which stops the workers itself.
            start_new_session=True,
        )
        self._processes[task.index] = process
        ready = b""
        if process.stdout is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    ready = await process.stdout.readline()
        if not ready:
            await _end(process)
            raise WorkerError(f"worker {task.index} does not start; see what it says above")

    async def _keep(self, task: Task) -> None:
        """Start a worker again whenever it has ended."""
        while True:
            number = await self._processes[task.index].wait()
            self._counters["workers_restarted"] += 1
            _log.error("worker %d ended (%s) and is started again", task.index, _reason(number))
            while True:
                try:
                    await self._launch(task)
                except (WorkerError, OSError) as error:
                    _log.error("%s; trying again", error)
                    await asyncio.sleep(PAUSE)
                else:
                    break

    async def _stop(self) -> None:
        await asyncio.gather(*(_end(process) for process in self._processes.values()))

    # Admin commands

    def _status(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        head = {
            "pid": os.getpid(),
            "dataplane": DataplaneChoice.USERSPACE,
            "instance": self._config.instance,
            "vips": [str(vip) for vip in self._config.vips],
            "advertised": [str(each) for each in self._advertised],
            "tcp": [str(each) for each in self._config.tcp],
            "upstreams": list(self._config.upstreams),
            "workers": [
                {"pid": self._processes[task.index].pid, "processor": task.processor}
                for task in self._tasks
                if task.index in self._processes
            ],
            "counters": self._counters,
        }
        return aggregate.status(self._paths, head)

    def _sum_of(self, command: str) -> admin.Handler:
        async def answer(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
            own = self._counters if command == "counters" else {}
            yield aggregate.add_up([own, await aggregate.numbers(self._paths, command)])

        return answer

    async def _switch(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        if request.get("dataplane") != DataplaneChoice.USERSPACE:
            raise AdminError(
                "several workers forward in userspace only: to switch to XDP, "
                "start the relay without --workers"
            )
        yield {"dataplane": DataplaneChoice.USERSPACE}


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop a process, by force when it does not stop by itself."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reason(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
