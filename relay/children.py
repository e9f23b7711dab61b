"""Processes that do the work of a service: started, watched, started again, stopped.

A child says all the time that it lives, in a line each (`beat`); one that does not is killed. Each
such line is a JSON list of its troubles, a phrase each; none is fine. The first line that is no
list says that it serves. One that waits for something until then says so (`waiting`), and may wait.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from relay.errors import WorkerError
from relay.supervision import Backoff

START_SECONDS = 30.0
STOP_SECONDS = 5.0
BEAT = 1.0  # seconds
HUNG_AFTER = 10.0  # seconds
_LIST = b"["  # begins the line of a beat
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """One such process.

    Args:
        name: What it is called in the log and in errors, such as "worker 2".
        command: Its command line.
        fds: The descriptors that it inherits.
        counters: Where restarts are counted: workers_restarted, _not_started and _hung.
        log: Where they are told.
        stop_seconds: How long it may take to end by itself when it is stopped.

    Attributes:
        troubles: Why it is not ready, a phrase each.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        fds: Sequence[int] = (),
        counters: Counter[str],
        log: logging.Logger,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        self.troubles: list[str] = []
        self._command = command
        self._fds = fds
        self._counters = counters
        self._log = log
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its number; None before it was started."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            WorkerError: It ends before that, or says nothing for too long.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self._fds,
            # A Ctrl-C is for this process, which stops the children itself.
            start_new_session=True,
        )
        self._process = process
        self.troubles = ["it starts"]
        while line := await _line(process, START_SECONDS):
            if not line.startswith(_LIST):
                self.troubles = []
                return
            self.troubles = json.loads(line)
        await _end(process)
        raise WorkerError(f"{self.name} does not start; see what it says above")

    async def keep(self) -> None:
        """Start it again whenever it has ended, or hangs; for ever."""
        backoff, began = Backoff(), time.monotonic()
        while True:
            ended = await self._watch()
            self._counters["workers_restarted"] += 1
            self.troubles = [ended]
            self._log.error("%s %s and is started again", self.name, ended)
            while True:
                # The first pause is short; one that ends as soon as it serves has longer ones.
                await asyncio.sleep(backoff.pause(time.monotonic() - began))
                began = time.monotonic()
                try:
                    await self.start()
                except (WorkerError, OSError) as error:
                    self.troubles = ["it does not start"]
                    self._counters["workers_not_started"] += 1
                    self._log.error("%s; trying again", error)
                else:
                    break

    async def stop(self, seconds: float | None = None) -> None:
        """Stop it, by force when it does not stop by itself.

        Args:
            seconds: How long it may take; None for as long as ever.
        """
        if self._process is not None:
            await _end(self._process, self._stop_seconds if seconds is None else seconds)

    async def _watch(self) -> str:
        """Wait until it has ended, by force if it hangs; what became of it, in words."""
        process = self._process
        if process is None:
            return "was not started"
        while line := await _line(process, HUNG_AFTER):
            self.troubles = json.loads(line)
        if line is not None:
            return f"ended ({_reason(await process.wait())})"
        self._counters["workers_hung"] += 1
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return f"hung (it said nothing for {HUNG_AFTER:.0f} s)"


class _Parent:
    """Who has started this process, and hears what it says.

    Attributes:
        listens: Whether there is one.
    """

    listens = False


_parent = _Parent()


def become_child() -> None:
    """Make this process one of its parent's: however that ends, this one does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.set_blocking(sys.stdout.fileno(), False)  # see `beat`
    _parent.listens = True


def beat(troubles: Sequence[str]) -> None:
    """Tell the parent that this process lives, and what troubles it."""
    # A parent that does not read has all that it needs, and must not hold its children up.
    with contextlib.suppress(BlockingIOError):
        os.write(sys.stdout.fileno(), json.dumps(list(troubles)).encode() + b"\n")


@contextlib.asynccontextmanager
async def waiting(trouble: str) -> AsyncIterator[None]:
    """Tell the parent, if there is one, what this process waits for while the context is entered.

    Args:
        trouble: What it is that it waits for, in a phrase.
    """
    if not _parent.listens:
        yield
        return
    telling = asyncio.create_task(_tell(trouble))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(trouble: str) -> None:
    while True:
        beat([trouble])
        await asyncio.sleep(BEAT)


async def _end(process: asyncio.subprocess.Process, limit: float = STOP_SECONDS) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(limit):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, limit: float) -> bytes | None:
    """What a process says next; nothing when it has ended, None when it says nothing in time."""
    if process.stdout is None:
        return b""
    try:
        async with asyncio.timeout(limit):
            return await process.stdout.readline()
    except TimeoutError:
        return None


def _reason(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
