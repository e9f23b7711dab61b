"""Several transceivers as one service: a process for each slot, started and stopped together.

They share nothing, as transceivers on several hosts would not: signaling places calls on them, and
the relay finds them by their routes. So one that ends takes its own calls with it and no others.
Their sockets are kept here: what is sent to one meanwhile waits until it is started again.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from relay.children import STOP_SECONDS, Child
from relay.handover import give
from relay.listen import listening
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint
from transceiver.server import TransceiverConfig, bind_media

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is given when it starts.

    Attributes:
        config: What it serves, with the addresses of its sockets.
        media: The descriptor of its UDP socket, which it inherits.
        control: That of the socket on which connections to its control API wait.
    """

    config: TransceiverConfig
    media: int
    control: int


class Workers:
    """The processes of a service that serve while the context is entered.

    Args:
        configs: What each of them serves.
        command: Makes the command line of one, which becomes a child (see `relay.children`). It is
            given the descriptor of a `Task` (see `relay.handover`).
        media: UDP sockets that are already bound, instead of `listen` of each; they become ours.

    Attributes:
        configs: The same with the addresses that they got, once entered.
        counters: How often workers were started again.
    """

    def __init__(
        self,
        configs: Sequence[TransceiverConfig],
        command: Callable[[int], Sequence[str]],
        media: Sequence[socket.socket] = (),
    ) -> None:
        self.configs = configs
        self.counters: Counter[str] = Counter()
        self.children: list[Child] = []
        self._command = command
        self._media = media
        self._supervisor = Supervisor()
        self._patience: float | None = None  # seconds that each may take to stop, once told before
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all of them.

        Raises:
            BindError: An address cannot be listened on.
            WorkerError: One does not start; the others are stopped again.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._open(stack)
            stack.push_async_callback(self._stop)
            self._supervisor.faults.guard(asyncio.get_running_loop())
            stack.push_async_callback(self._supervisor.stop)
            await _all_or_none(self._start(child) for child in self.children)
            self._closing = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all of them, at once: each ends its calls."""
        await self._closing.aclose()

    async def finish(self) -> None:
        """Stop all of them: each takes no new calls, and ends when its own have, or after `drain`.

        Whoever does not wait for that stops them a second time, which ends their calls.
        """
        self._patience = STOP_SECONDS
        # One that has ended is not to be started again.
        kept = [self._supervisor.end(child.name) for child in self.children]
        await asyncio.gather(*kept, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self.children))

    def _open(self, stack: contextlib.AsyncExitStack) -> None:
        media = [stack.enter_context(sock) for sock in self._media] or [
            stack.enter_context(bind_media(config.listen)) for config in self.configs
        ]
        control = [
            stack.enter_context(listening(config.control, "the control API"))
            for config in self.configs
        ]
        self.configs = [
            replace(
                config,
                listen=_address(udp),
                control=_address(tcp),
            )
            for config, udp, tcp in zip(self.configs, media, control, strict=True)
        ]
        for config, udp, tcp in zip(self.configs, media, control, strict=True):
            fd = give(Task(config, udp.fileno(), tcp.fileno()))
            stack.callback(os.close, fd)
            self.children.append(
                Child(
                    f"worker {len(self.children)}",
                    self._command(fd),
                    fds=(fd, udp.fileno(), tcp.fileno()),
                    counters=self.counters,
                    log=_log,
                    stop_seconds=STOP_SECONDS + config.drain,
                )
            )

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop(self._patience) for child in self.children))

    async def _start(self, child: Child) -> None:
        """Start one, and keep it from then on: others may wait for their slots much longer."""
        await child.start()
        self._supervisor.start(child.name, child.keep, essential=True)


async def _all_or_none(starting: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; the first that fails ends it, and those that wait for something do, too."""
    tasks = [asyncio.ensure_future(each) for each in starting]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _address(sock: socket.socket) -> Endpoint:
    return Endpoint.of(sock.getsockname())
