"""How often something took how long: a histogram with fixed limits, as Prometheus counts them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

_ABOVE, _SUM = "+Inf", "sum"


class Histogram:
    """Counts observations by size.

    Args:
        limits: Upper limits of the buckets, in seconds, ascending; above the last one is one more.
    """

    def __init__(self, limits: Sequence[float]) -> None:
        self._limits = tuple(limits)
        self._names = [*(f"{limit:g}" for limit in self._limits), _ABOVE]
        self._counts = [0] * (len(self._limits) + 1)
        self._sum = 0.0
        self._largest = 0.0

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self._counts)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count an observation, or several that are alike."""
        self._counts[bisect_left(self._limits, seconds)] += times
        self._sum += seconds * times
        self._largest = max(self._largest, seconds)

    def quantile(self, share: float) -> float | None:
        """The limit below which such a share of all lies; None before the first observation.

        Above the last limit it is the largest one that was seen.
        """
        wanted, seen = share * self.count, 0
        if not self.count:
            return None
        for limit, count in zip(self._limits, self._counts, strict=False):
            seen += count
            if seen >= wanted:
                return limit
        return self._largest

    @property
    def sum(self) -> float:
        """The sum of all observations."""
        return self._sum

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """How many are at most as large as each limit, the last of which is ``+Inf``."""
        return list(zip(self._names, accumulate(self._counts), strict=True))

    def as_numbers(self) -> dict[str, float]:
        """The sum, and how many are in each bucket alone: those of several processes add up."""
        return {_SUM: self._sum, **dict(zip(self._names, self._counts, strict=True))}

    def add(self, numbers: Mapping[str, float]) -> None:
        """Add what another one of the same limits has counted, as its `as_numbers`."""
        self._sum += numbers.get(_SUM, 0.0)
        for index, name in enumerate(self._names):
            self._counts[index] += int(numbers.get(name, 0))

    def as_dict(self) -> dict[str, Any]:
        """Count, sum and largest, and how many are at most as large as each limit."""
        total, buckets = 0, {}
        for limit, count in zip(self._limits, self._counts, strict=False):
            total += count
            buckets[f"{limit:g}"] = total
        return {
            "count": self.count,
            "sum": round(self._sum, 6),
            "largest": round(self._largest, 6),
            "at_most": buckets,
        }
