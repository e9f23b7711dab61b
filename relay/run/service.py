"""What the commands that serve have in common: the log, the ready line, and how they end."""

import fcntl
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import TypeVar

from relay.activation import ACTIVATION

Service = TypeVar("Service")

ENOUGH_FILES = 4096  # a userspace relay needs one for each flow, signaling one for each request

_log = logging.getLogger(__name__)


def log_to_stderr(verbose: bool = False) -> None:
    """Send the log to stderr, one line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )


def make_room_for_files(count: int) -> None:
    """Make the table of this process's open files as large as it may become, for so many.

    The kernel doubles it as files are opened. Where threads share it, whoever opens the file then
    waits for all processors to have noticed (synchronize_rcu in fs/file.c): 10 to 20 ms in which a
    relay forwards nothing. So this comes before there are threads.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    last = count - 1 if most == resource.RLIM_INFINITY else min(count, most) - 1
    # Where that cannot be had, such as for want of memory, it grows as files are opened.
    with suppress(OSError), Path(os.devnull).open("rb") as file:
        os.close(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, last))


def collect_seldom() -> None:
    """Let the garbage collector look at all objects seldom; at new ones it looks as ever.

    Flows and calls are freed without it. By itself it looks at everything whenever there is a
    quarter more: with 60,000 flows for 37 ms, with 120 calls for 25 to 39 ms, in which nothing is
    forwarded and nobody heard.
    """
    gc.freeze()  # modules stay
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1000)


def raise_open_files(wanted: int = ENOUGH_FILES) -> None:
    """Let this process open as many files as it may, and say so when it may want more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if few := too_few_files(wanted):
        _log.warning("%s", few)


def too_few_files(wanted: int) -> str | None:
    """What to say where this process may not open so many files; None where it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= wanted:
        return None
    enough = max(wanted, 65_536)
    return (
        f"only {most} files may be open at once (the hard limit), which bounds the number of "
        f"calls: raise it, such as with LimitNOFILE={enough} in a unit or `ulimit -n {enough}` "
        "as root"
    )


async def serve(
    service: AbstractAsyncContextManager[Service],
    ready: Callable[[Service], str],
    files: int = ENOUGH_FILES,
    finish: Callable[[Service], Awaitable[None]] | None = None,
    until: Callable[[Service], Awaitable[None]] | None = None,
) -> None:
    """Run a service until SIGTERM or SIGINT, also while it starts; print a line when it serves.

    A service manager that wants to know is told so, too.

    Args:
        service: Serves while its context is entered.
        ready: Makes the line from what the context gives.
        files: How many files it may want to have open at once.
        finish: What it does before it ends; another signal ends it without that.
        until: Returns when it is to end without a signal.
    """
    import asyncio  # noqa: PLC0415  # what only logs has no use for it

    from relay.run.notify import take_manager  # noqa: PLC0415  # nor for this

    manager = take_manager()
    raise_open_files(files)
    collect_seldom()
    stop, again, task, starts = asyncio.Event(), asyncio.Event(), asyncio.current_task(), True

    def end() -> None:
        # What is waited for at the start may be long in coming, such as Redis. Once is enough: what
        # has been opened by then is closed again.
        if starts and not stop.is_set() and task is not None:
            task.cancel()
        (again if stop.is_set() else stop).set()  # also where both come in one turn of the loop

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    async with AsyncExitStack() as stack:
        try:
            serving = await stack.enter_async_context(service)
        except asyncio.CancelledError:
            if task is None or not stop.is_set():
                raise
            task.uncancel()
            _log.info("told to end before it served")
            return
        starts = False
        await stack.enter_async_context(manager.watched())
        said = ready(serving)
        print(said, flush=True)
        _tell_of_idle_sockets()
        manager.tell(READY="1", STATUS=said)
        await _first(stop.wait(), *([until(serving)] if until is not None else []))
        manager.tell(STOPPING="1", STATUS="ending" if finish is None else "draining")
        if finish is not None:
            await _first(finish(serving), again.wait())


def _tell_of_idle_sockets() -> None:
    for address in ACTIVATION.left():
        _log.warning(
            "the service manager holds a socket at %s, where nothing listens here: let "
            "ListenStream= and the setting be the same address",
            address,
        )


async def _first(*ways: Awaitable[object]) -> None:
    """Wait for one of them, and cancel the others."""
    import asyncio  # noqa: PLC0415  # see `serve`

    waiting = [asyncio.ensure_future(way) for way in ways]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for way in waiting:
        way.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
