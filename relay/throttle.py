"""Keep a flood of the same event from flooding the log."""

from collections.abc import Callable

INTERVAL = 1.0  # seconds between two lines for the same reason


class Throttle:
    """Says whether an event of some reason may be logged now: one a second.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def allows(self, reason: str) -> bool:
        """Whether to log; reasons must be few, since they are remembered."""
        now = self._clock()
        if now - self._said.get(reason, float("-inf")) < INTERVAL:
            return False
        self._said[reason] = now
        return True
