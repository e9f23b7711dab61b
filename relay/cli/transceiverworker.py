"""Run one of the workers of a transceiver, in the process that its supervisor started for it."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from relay import handover
from relay.children import BEAT, beat, become_child
from relay.errors import IcelaneError
from relay.run.service import log_to_stderr, serve
from relay.supervision import Supervisor
from transceiver.fleet import announced, claimed
from transceiver.server import Transceiver

if TYPE_CHECKING:
    from transceiver.workers import Task


def worker_command(*, verbose: bool) -> Callable[[int], Sequence[str]]:
    """Makes the command line of a worker, of the descriptor of its `transceiver.workers.Task`.

    Args:
        verbose: Whether it logs more.
    """
    # -P: no module of the directory that this is run in takes a place.
    program = (sys.executable, "-P", "-m", __name__)
    return lambda fd: (*program, str(fd), "verbose" if verbose else "")


@contextlib.asynccontextmanager
async def _beating(transceiver: Transceiver) -> AsyncIterator[Transceiver]:
    async with announced(transceiver):
        supervisor = Supervisor()
        supervisor.start("beat", partial(_beat), essential=True, every=BEAT)
        try:
            yield transceiver
        finally:
            await supervisor.stop()


async def _beat() -> None:
    beat(())


def main() -> None:
    """Run a worker; the arguments are those of `worker_command`."""
    task: Task = handover.take(int(sys.argv[1]))
    become_child()
    log_to_stderr(verbose=sys.argv[2] == "verbose")
    logging.getLogger("aioice").setLevel(logging.WARNING)
    media, control = (socket.socket(fileno=fd) for fd in (task.media, task.control))
    try:
        transceiver = Transceiver(claimed(task.config), media, control)
        asyncio.run(serve(_beating(transceiver), lambda _: "ready", finish=Transceiver.finish))
    except IcelaneError as error:
        print(f"icelane: slot {task.config.target.slot}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
