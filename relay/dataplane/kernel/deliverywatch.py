"""Watches whether what the program forwards is taken by the drivers that are to send it.

Congestion loses packets, and is no reason to leave the kernel: some get through a way out that is
too slow, and those of the agent would have to leave by it as well.
"""

from relay.dataplane.kernel import losses, proof
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.privileged import Privileged

# Lost while nothing got through, from one look to another. A driver that refuses is found by frames
# of ours, at once; this finds one that says nothing and sends nothing. There is a look a second
# while packets are lost, and it takes several, as a host that is busy may leave a virtual machine's
# ring full for a while.
_MANY = 8  # packets
_OFTEN = 3  # times in a row


class DeliveryWatch:
    """Compares what each driver took with what was lost on the way out.

    Args:
        kernel: The instance.
        lost: Its map of losses.
        ways: What was taken and lost by interface.
    """

    def __init__(self, kernel: Privileged, lost: PinnedMap, ways: losses.WaysOut) -> None:
        self._kernel = kernel
        self._map = lost
        self._ways = ways
        self._looked = self._count()
        self._proven: set[int] = set()
        self._judged_at: dict[int, losses.WayOut] = {}
        self._bad_looks: dict[int, int] = {}

    def has_lost(self) -> bool:
        """Whether there are losses that the last look has not seen."""
        return self._count() != self._looked

    def refusing(self) -> list[str]:
        """The interfaces that run the program natively and take nothing that it sends.

        Each is asked once, and all again when something was lost meanwhile.

        Raises:
            OSError: The kernel does not list interfaces.
        """
        lost = self._count()
        if lost != self._looked:
            self._proven.clear()
        asked = {
            name: index
            for name, index in proof.askable(self._kernel).items()
            if index not in self._proven
        }
        refusing = self._kernel.refusing(asked)
        if not refusing:
            self._proven |= set(asked.values())
        self._looked = lost
        return refusing

    def futile(self) -> list[str]:
        """The interfaces that have lost all that was to leave by them, time and again.

        Of those that run the program natively: in generic mode nobody tells what a driver took.

        Raises:
            OSError: The kernel does not list interfaces.
        """
        asked = proof.askable(self._kernel)
        counts = {index: way for index in asked.values() if (way := self._ways.of(index))}
        self._bad_looks = {index: self._judged(index, way) for index, way in counts.items()}
        return [name for name, index in asked.items() if self._bad_looks.get(index, 0) >= _OFTEN]

    def _judged(self, index: int, now: losses.WayOut) -> int:
        """How many looks in a row were bad, with this one; one at which few were lost waits."""
        before, bad = self._judged_at.get(index), self._bad_looks.get(index, 0)
        if before is None or now.taken != before.taken:
            bad = 0
        elif now.lost - before.lost >= _MANY:
            bad += 1
        else:
            return bad
        self._judged_at[index] = now
        return bad

    def _count(self) -> int:
        return sum(losses.read(self._map).values())
