"""Background tasks that do not end unseen: one that raises is logged, counted and started again.

What raises here is a bug, or something of the system that nobody thought of. It costs what it
happened in, and no more: the task goes on after a pause that grows while it goes on failing, and
until it has recovered its service is not ready, if it is essential.
"""

import asyncio
import logging
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 30.0  # seconds
# What has run for so long has recovered: longer than what does something every few seconds needs.
STEADY = 10.0  # seconds

_log = logging.getLogger(__name__)


class Backoff:
    """How long to wait before something is started again: twice as long each time it fails soon.

    Args:
        first: The first pause, in seconds.
        longest: The longest one.
        steady: What has lived for so long, in seconds, begins with the first pause again.
    """

    def __init__(
        self, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE, steady: float = STEADY
    ) -> None:
        self._first = first
        self._longest = longest
        self._steady = steady
        self._next = first

    def pause(self, lived: float) -> float:
        """The pause, in seconds, after something has lived for so many seconds and failed."""
        pause = self._first if lived >= self._steady else self._next
        self._next = min(2 * pause, self._longest)
        return pause


class Faults:
    """What has raised that should not: each is counted, and each kind logged once.

    Args:
        log: Where.
    """

    def __init__(self, log: logging.Logger = _log) -> None:
        self._log = log
        self._seen: set[tuple[str, str]] = set()
        self.counters: Counter[str] = Counter()  # by where it was raised

    def note(self, where: str, error: BaseException) -> None:
        """Take note of an exception.

        Args:
            where: In what it was raised; there are few such names.
            error: The exception.
        """
        self.counters[where] += 1
        # Told apart by line: one place that fails again and again is one kind.
        kind = where, _described(error, with_text=False)
        if kind not in self._seen:
            self._seen.add(kind)
            self._log.error("%s failed: %s", where, _described(error))
        self._log.debug("%s failed", where, exc_info=error)

    def guard(self, loop: asyncio.AbstractEventLoop, *, alone: bool = True) -> None:
        """Take note of what callbacks and forgotten tasks of an event loop raise, too.

        Args:
            loop: The event loop.
            alone: Whether in place of who did so before; else he goes on.
        """
        if not alone and loop.get_exception_handler() is not None:
            return

        def handle(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
            error = context.get("exception")
            if isinstance(error, BaseException):
                self.note("a callback", error)
            else:
                self._log.error("event loop: %s", context.get("message"))

        loop.set_exception_handler(handle)


@dataclass(slots=True)
class _Task:
    essential: bool
    began: float
    trouble: Callable[[], str | None]
    failing: bool = False
    ended: bool = False
    failures: int = 0
    error: str | None = None


class Supervisor:
    """The background tasks of a service.

    Args:
        faults: Where it is noted what they raise.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self, faults: Faults | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.faults = faults or Faults()
        self._clock = clock
        self._tasks: dict[str, _Task] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        essential: bool,
        every: float | None = None,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Do something from now on until `stop`, whatever it raises.

        Args:
            name: What people call it.
            work: Does it. It is called again when it has raised, and otherwise only `every` so
                often.
            essential: Whether the service is not ready while it fails.
            every: Seconds before each time; without it, what ends by itself has ended.
            trouble: Says why it cannot do its work now, though it raises nothing: what it needs
                is away, such as Redis.
        """
        task = self._tasks[name] = _Task(essential, self._clock(), trouble)
        self._running[name] = asyncio.create_task(self._keep(name, task, work, every))

    def end(self, name: str) -> asyncio.Task[None]:
        """Do it no more, and forget it; gives the task, which ends soon."""
        running = self._running.pop(name)
        running.cancel()
        del self._tasks[name]
        return running

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended; again is fine."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    @property
    def troubles(self) -> list[str]:
        """The essential tasks that fail now."""
        return [
            name for name, task in self._tasks.items() if task.essential and self._is_failing(task)
        ]

    @property
    def failing(self) -> list[str]:
        """All tasks that fail now, also for what they need, such as Redis."""
        return [name for name, task in self._tasks.items() if self._state(task) == "failing"]

    def trouble(self, name: str) -> str | None:
        """Why a task fails now; None while it does not, or is none."""
        if (task := self._tasks.get(name)) is None:
            return None
        return task.trouble() or (task.error if self._is_failing(task) else None)

    def failures(self) -> dict[str, int]:
        """How often each task has failed, by name; and each other place where something raised."""
        return {name: task.failures for name, task in self._tasks.items()} | self.faults.counters

    def states(self) -> dict[str, dict[str, Any]]:
        """The tasks by name, as status shows them: state, essential, failures and last error."""
        return {
            name: {
                "state": self._state(task),
                "essential": task.essential,
                "failures": task.failures,
                "error": task.trouble() or task.error,
            }
            for name, task in self._tasks.items()
        }

    def _state(self, task: _Task) -> str:
        if self._is_failing(task) or task.trouble() is not None:
            return "failing"
        return "ended" if task.ended else "running"

    def _is_failing(self, task: _Task) -> bool:
        return task.failing and self._clock() - task.began < STEADY

    async def _keep(
        self,
        name: str,
        task: _Task,
        work: Callable[[], Awaitable[None]],
        every: float | None,
    ) -> None:
        backoff, pause = Backoff(), 0.0
        # A cancellation can get lost in `work`, such as in asyncio.wait_for of Python 3.11.
        while not _cancelled():
            await asyncio.sleep((every or 0.0) + pause)
            task.began = self._clock()
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # whatever it is, the task goes on
                self.faults.note(name, error)
                task.failing, task.error = True, _described(error)
                task.failures += 1
                pause = backoff.pause(self._clock() - task.began)
                # From here on it is not running, however long the pause.
                task.began = float("inf")
            else:
                task.failing, pause, backoff = False, 0.0, Backoff()
                if every is None:
                    task.ended = True
                    return


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _described(error: BaseException, *, with_text: bool = True) -> str:
    """An exception in a line: its type, its text, and where it was raised; of a group, the first.

    A group says nothing by itself, and all groups of tasks are raised in one line of the library.
    """
    if isinstance(error, BaseExceptionGroup):
        first, *others = error.exceptions
        more = f", and {len(others)} more" if others else ""
        return f"{_described(first, with_text=with_text)}{more}"
    text = f": {error}" if with_text and str(error) else ""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{text}{place}"
