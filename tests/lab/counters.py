"""Packet counters that start again at zero whenever their owner is started again. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class CounterReading(NamedTuple):
    """A reading of a counter.

    Attributes:
        owner: Identifies the process or map that counts; the counter of another one starts at 0.
        packets: Packets counted so far.
    """

    owner: int
    packets: int


class CounterTotal:
    """The increase of a counter, over all its owners: those of several relays, and restarts.

    Args:
        start: The readings to start from; only what is counted after them is added.
    """

    def __init__(self, start: Iterable[CounterReading] = ()) -> None:
        self._start = dict(start)
        self._last = dict(self._start)

    def update(self, reading: CounterReading | None) -> None:
        """Add a reading; None when the counter cannot be read at the moment."""
        if reading is not None:
            self._last[reading.owner] = reading.packets

    @property
    def total(self) -> int:
        """Packets counted since the start."""
        return sum(self._last.values()) - sum(self._start.values())
