"""How long the turns of an event loop take: for so long nobody else is served.

Between two looks at what is ready, an event loop calls all that was. That is measured where it
happens, so no stall is missed, and nothing wakes up to measure it.
"""

import asyncio
import selectors
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

BOUNDS = (0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100, 0.200, 0.500, 1.0, 5.0)  # seconds
HUNG_AFTER = 5.0  # seconds


class LoopTurns:
    """A histogram of the turns of an event loop. It may be read from any thread.

    Args:
        clock: Seconds of a monotonic clock.

    Attributes:
        counts: How many turns took at most the bound of that index, and longer than the one
            before; the last is of those above all bounds.
        total: The sum of all turns, in seconds.
        longest: The longest one, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.longest = 0.0
        self._clock = clock
        self._began: float | None = None

    def begin(self) -> None:
        """A turn begins."""
        self._began = self._clock()

    def end(self) -> None:
        """It has ended; without a beginning is fine."""
        if self._began is None:
            return
        seconds = self._clock() - self._began
        self._began = None
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def hangs(self) -> float | None:
        """For how long the present turn has taken, in seconds, when that is far too long."""
        began = self._began
        taken = 0.0 if began is None else self._clock() - began
        return taken if taken > HUNG_AFTER else None

    def as_numbers(self) -> dict[str, float]:
        """See `relay.histogram.Histogram.as_numbers`."""
        names = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        return {"sum": self.total, **dict(zip(names, self.counts, strict=True))}

    def as_json(self) -> dict[str, Any]:
        """What status shows: turns by their bound in ms, the longest, and all together."""
        bounds = [f"{1000 * bound:g}" for bound in BOUNDS]
        return {
            "turns_by_ms": dict(zip([*bounds, "more"], self.counts, strict=True)),
            "longest_ms": round(1000 * self.longest, 1),
            "busy_seconds": round(self.total, 3),
        }


class _TimedSelector(selectors.EpollSelector):
    """Waits as ever; from then until the next time is a turn."""

    def __init__(self, turns: LoopTurns) -> None:
        super().__init__()
        self._turns = turns

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns.end()
        ready = super().select(timeout)
        self._turns.begin()
        return ready


class TimedLoop(asyncio.SelectorEventLoop):
    """An event loop that measures its turns.

    Attributes:
        turns: What it has measured.
    """

    def __init__(self) -> None:
        self.turns = LoopTurns()
        super().__init__(_TimedSelector(self.turns))


def turns_of(loop: asyncio.AbstractEventLoop) -> LoopTurns:
    """What a loop has measured; nothing, where it is of another kind."""
    return loop.turns if isinstance(loop, TimedLoop) else LoopTurns()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Like `asyncio.run`, on a loop that measures its turns."""
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        return runner.run(work)
