"""Limits in time: on lines of the log, and on whatever else may come in floods."""

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
        self._withheld: dict[str, int] = {}

    def allows(self, reason: str) -> bool:
        """Whether to log; reasons must be few, since they are remembered."""
        now = self._clock()
        if now - self._said.get(reason, float("-inf")) < INTERVAL:
            self._withheld[reason] = self._withheld.get(reason, 0) + 1
            return False
        self._said[reason] = now
        return True

    def withheld(self, reason: str) -> str:
        """What a line that is allowed ends with: how many were not since the last one, if any."""
        count = self._withheld.pop(reason, 0)
        return f" (and {count} more since the last such line)" if count else ""


class TokenBucket:
    """Lets events pass at a limited rate.

    Args:
        rate: Events a second.
        burst: Events at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = 0.0

    def take(self, now: float, count: int = 1) -> bool:
        """Whether so many more events may pass now, in seconds of a monotonic clock."""
        gained = max(0.0, now - self._filled_at) * self._rate
        self._tokens = min(self._burst, self._tokens + gained)
        self._filled_at = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True
