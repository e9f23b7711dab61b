"""When something that has a bound is nearly full, it is said once."""

from collections.abc import Mapping

ALARM, CALM = 0.8, 0.7  # the share at which it is said, and below which it may be said again

_TEXTS = {
    "flows": "more than 80 % of all flows are in use: allow more with max-flows",
    "pending": "more than 80 % of pending flows are in use: somebody may be replaying ufrags",
    "ports": "more than 80 % of upstream ports are in use: give the relay more with ports, or more "
    "upstream addresses",
}


class FillAlarms:
    """Says that something is nearly full, each time that it becomes so."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def look(self, used: Mapping[str, tuple[int, int]], fullest: float) -> list[str]:
        """What the operator is to be told now.

        Args:
            used: How much of each thing is in use, and how much there is.
            fullest: The share of upstream ports in use where the fewest are free.
        """
        shares = {name: count / most for name, (count, most) in used.items()}
        new = []
        for name, share in (shares | {"ports": fullest}).items():
            if share >= ALARM and name not in self._said:
                self._said.add(name)
                new.append(_TEXTS[name])
            elif share < CALM:
                self._said.discard(name)
        return new
