"""What the commands that serve have in common: the log, the ready line, and how they end."""

import asyncio
import logging
import signal
import sys
from contextlib import AbstractAsyncContextManager
from typing import Any


def log_to_stderr(verbose: bool = False) -> None:
    """Send the log to stderr, one line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )


async def serve(service: AbstractAsyncContextManager[Any], ready: str) -> None:
    """Run a service until SIGTERM or SIGINT; print `ready` when it serves."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with service:
        print(ready, flush=True)
        await stop.wait()
