"""Packet counters that start again at zero whenever their owner is started again. Pure."""

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
    """The increase of a counter, across restarts of its owner.

    Args:
        start: The reading to start from; only what is counted after it is added.
    """

    def __init__(self, start: CounterReading | None = None) -> None:
        self._last = start
        self._before = -start.packets if start else 0

    def update(self, reading: CounterReading | None) -> None:
        """Add a reading; None when the counter cannot be read at the moment."""
        if reading is None:
            return
        if self._last is not None and reading.owner != self._last.owner:
            self._before += self._last.packets
        self._last = reading

    @property
    def total(self) -> int:
        """Packets counted since the start."""
        return self._before + (self._last.packets if self._last else 0)
