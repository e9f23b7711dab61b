"""What the commands that serve have in common: the log, the ready line, and how they end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

Service = TypeVar("Service")


def log_to_stderr(verbose: bool = False) -> None:
    """Send the log to stderr, one line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )


async def serve(
    service: AbstractAsyncContextManager[Service], ready: Callable[[Service], str]
) -> None:
    """Run a service until SIGTERM or SIGINT; print a line when it serves.

    Args:
        service: Serves while its context is entered.
        ready: Makes the line from what the context gives.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with service as serving:
        print(ready(serving), flush=True)
        await stop.wait()
