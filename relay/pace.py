"""Long work on an event loop, done in pieces: whoever else has something to do comes in between."""

import asyncio
import time
from collections.abc import Callable

TURN = 0.003  # seconds of work between two looks at what else there is


class Pace:
    """Says when to let others have their turn.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    async def rest(self) -> None:
        """Let others have their turn if this one was long; to be called often."""
        if self._clock() - self._began >= TURN:
            await asyncio.sleep(0)
            self._began = self._clock()
