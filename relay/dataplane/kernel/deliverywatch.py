"""Watches whether what the program forwards is taken by the drivers that are to send it."""

from collections.abc import Mapping

from relay.dataplane.kernel import losses, proof, rtnetlink
from relay.dataplane.kernel.pins import PinnedMap
from relay.dataplane.kernel.privileged import Privileged

# Of what was forwarded between two looks: less is a link's bad moment, or a queue that was full.
_MANY = 8  # packets
_OFTEN = 2  # times in a row


class DeliveryWatch:
    """Compares what was forwarded with what was lost on the way out.

    Args:
        kernel: The instance.
        lost: Its map of losses.
    """

    def __init__(self, kernel: Privileged, lost: PinnedMap) -> None:
        self._kernel = kernel
        self._map = lost
        self._lost = self._looked = self._count()
        self._forwarded: int | None = None
        self._proven: set[int] = set()
        self._bad_looks = 0

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

    def is_futile(self, counters: Mapping[str, int]) -> bool:
        """Whether half of what is forwarded or more is lost, time and again, with all links up.

        Args:
            counters: What the program has counted.

        Raises:
            OSError: The kernel does not list interfaces.
        """
        forwarded, lost = sum(forwarded_of(counters).values()), self._count()
        before, self._forwarded = self._forwarded, forwarded
        losing, self._lost = lost - self._lost, lost
        bad = before is not None and losing >= max(_MANY, (forwarded - before) / 2)
        self._bad_looks = self._bad_looks + 1 if bad and self._all_up() else 0
        return self._bad_looks >= _OFTEN

    def _all_up(self) -> bool:
        carriers = {link.index: link.carrier for link in rtnetlink.links()}
        return all(carriers.get(index) for index in self._kernel.linked().values())

    def _count(self) -> int:
        return sum(losses.read(self._map).values())


def forwarded_of(counters: Mapping[str, int]) -> dict[str, int]:
    """Those of the program's counters that say how much it forwarded."""
    return {name: count for name, count in counters.items() if name.startswith("forwarded")}
