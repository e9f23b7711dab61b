"""Counters by name; refused datagrams are also logged, at most once per reason and second."""

import logging
from collections import Counter
from collections.abc import Callable

_INTERVAL = 1.0  # seconds between two log lines of the same reason


class Counters:
    """Counts events and refused datagrams.

    Logging is rate-limited, so that a flood of junk does not fill the log.

    Args:
        logger: Logs the refused datagrams.
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._refusals: set[str] = set()
        self._logged: dict[str, tuple[float, int]] = {}

    def count(self, name: str) -> None:
        """Count an event that is no fault."""
        self._counts[name] += 1

    def refuse(self, reason: str, detail: object = "") -> None:
        """Count a datagram that was refused, and log the first of each second.

        Args:
            reason: The name of the counter; the set of reasons must be small.
            detail: What to add to the log line, such as the source address.
        """
        self._counts[reason] += 1
        self._refusals.add(reason)
        now, total = self._clock(), self._counts[reason]
        at, logged = self._logged.get(reason, (float("-inf"), 0))
        if now - at >= _INTERVAL:
            self._logged[reason] = (now, total)
            self._logger.info(
                "refused %d since the last such line: %s %s", total - logged, reason, detail
            )

    def refused(self) -> dict[str, int]:
        """Those of datagrams that were refused."""
        return {name: self._counts[name] for name in sorted(self._refusals)}

    def as_dict(self) -> dict[str, int]:
        """All counts by name."""
        return dict(sorted(self._counts.items()))
