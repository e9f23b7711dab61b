"""How long to hold packets back, by how unevenly they have come (NetEQ's relative delay).

The *transit* of a packet is the time of its arrival less its place on the sender's time line: a
constant that nobody knows, and what the network has added. Its excess over the least one of the
last seconds is how late the packet came. Playing with a delay that covers nearly all of these is
what the target is. The least one moves along with clocks that drift apart and with paths that
change. All times are in samples at 24 kHz.
"""

import numpy as np

RATE = 24_000
FLOOR = 240  # 10 ms: the clock that pulls is late by some of it
START = 960  # 40 ms, before anything is known
MOST = 12_000  # half a second

_KEPT = 256  # packets: five seconds of them
_AGE = 6 * RATE  # older ones say nothing of now
_FEW = 25  # packets that are not enough to go below the start
_EVERY = 5  # packets from one estimate to the next
_COVERED = 0.97  # of the packets that are kept
_RECENT = 50  # packets: what has not come back among them is over
_SOON, _COVERED_SOON = 50, 0.9  # packets, and how many of them: a change for the worse counts early
_MARGIN = 240  # 10 ms


class Delay:
    """Estimates the delay.

    Args:
        start: The target until enough has come.

    Attributes:
        base: The least transit.
        target: How late packets are expected to be, and `extra`.
        extra: What is to be held back besides.
    """

    __slots__ = ("_at", "_count", "_start", "_times", "_transits", "base", "extra", "target")

    def __init__(self, start: float = START) -> None:
        self.base = 0.0
        self.target = self._start = start
        self.extra = 0.0
        self._transits = np.zeros(_KEPT)
        self._times = np.zeros(_KEPT)
        self._at = 0  # place of the next one
        self._count = 0

    def add(self, transit: float, clock: float) -> None:
        """Take the transit of a packet that came at `clock`."""
        at = self._at
        self._transits[at] = transit
        self._times[at] = clock
        self._at = (at + 1) % _KEPT
        self._count += 1
        if transit < self.base or self._count == 1:
            self.base = transit
        if self._count % _EVERY == 0:
            self._estimate(clock)

    def _estimate(self, clock: float) -> None:
        count = min(self._count, _KEPT)
        # The newest first.
        order = np.arange(self._at - 1, self._at - 1 - count, -1)
        transits = self._transits[order]
        transits = transits[: max(_FEW, int(np.count_nonzero(self._times[order] > clock - _AGE)))]
        soon = np.sort(transits[:_SOON])
        every = np.sort(transits)
        self.base = base = float(every[0])
        late = max(_covering(every, _COVERED), _covering(soon, _COVERED_SOON))
        late = min(late, float(transits[:_RECENT].max())) - base
        target = min(MOST, max(FLOOR, late + _MARGIN) + self.extra)
        self.target = max(target, self._start) if self._count < _FEW else target


def _covering(ordered: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    """The value that this share of all does not exceed."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
