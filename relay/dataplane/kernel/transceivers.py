"""Transceivers' media addresses, which flows name by number."""

from collections import Counter
from collections.abc import Iterable

from relay.dataplane.errors import DataplaneFull
from relay.dataplane.kernel.grace import Resting
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Instance


class Transceivers:
    """The table of them, as memory.

    A number whose last flow has gone is not used again before `settle`: a program may still be
    about to read the address for a packet of that flow.

    Args:
        pins: The instance.

    Attributes:
        resting: Numbers that no flow has any more.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        self._table = MappedArray(pins.opened("transceivers"))
        self._address = self._table.spans["addr.word"]
        self._port = self._table.spans["port"]
        self._flows: Counter[int] = Counter()
        self._numbers: dict[bytes, int] = {}
        self._free: list[int] = []
        self.resting = Resting()

    def packed(self, number: int) -> bytes:
        """The address with a number, as `Endpoint.packed`."""
        element = self._table.element(number)
        return bytes(element[self._address]) + bytes(element[self._port])

    def adopt(self, numbers: Iterable[int]) -> None:
        """Take over what flows name already, each as often as it occurs."""
        self._flows = Counter(numbers)
        self._numbers = {self.packed(number): number for number in self._flows}
        self._free = [n for n in range(self._table.count - 1, -1, -1) if n not in self._flows]

    def take(self, packed: bytes) -> int:
        """The number of an address, for one flow more.

        Raises:
            DataplaneFull: All numbers are in use.
        """
        number = self._numbers.get(packed)
        if number is None:
            if not self._free:
                raise DataplaneFull(
                    f"The kernel's flows have all of {self._table.count:,} transceiver addresses."
                )
            number = self._numbers[packed] = self._free.pop()
            element = self._table.element(number)
            element[self._address], element[self._port] = packed[:16], packed[16:]
        self._flows[number] += 1
        self.resting.discard(number)
        return number

    def give_back(self, number: int) -> None:
        """One flow fewer has a number."""
        self._flows[number] -= 1
        if not self._flows[number]:
            self.resting.add(number)

    def settle(self, mark: int) -> None:
        """Let numbers be used again that have rested since a mark of `resting`."""
        for number in self.resting.free(mark):
            del self._flows[number]
            del self._numbers[self.packed(number)]
            self._free.append(number)

    def close(self) -> None:
        """Let go of the memory."""
        self._table.close()
