"""Counters by reason, with at most one log line per reason and second."""

import logging
from collections import Counter
from collections.abc import Callable

_INTERVAL = 1.0  # seconds between two lines of the same reason


class Counters:
    """Counts what happened, and says so now and then.

    A flood of junk makes numbers grow, not the log.

    Args:
        logger: Where the lines go.
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._said: dict[str, tuple[float, int]] = {}

    def count(self, name: str) -> None:
        """Count something that is no fault."""
        self._counts[name] += 1

    def refuse(self, reason: str, detail: object = "") -> None:
        """Count a datagram that was refused, and log the first of each second.

        Args:
            reason: One word; the set of reasons must be small.
            detail: What to add to the line, such as the source address.
        """
        self._counts[reason] += 1
        now, total = self._clock(), self._counts[reason]
        at, said = self._said.get(reason, (float("-inf"), 0))
        if now - at >= _INTERVAL:
            self._said[reason] = (now, total)
            self._logger.info(
                "refused %d since the last such line: %s %s", total - said, reason, detail
            )

    def as_dict(self) -> dict[str, int]:
        """All counts by name."""
        return dict(sorted(self._counts.items()))
