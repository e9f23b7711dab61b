"""Flows that follow from their number, so that a million of them need no memory."""

from collections.abc import Callable, Sequence
from typing import overload

from tests.bench.compare.testbed.system import Flow, Leg
from tests.bench.compare.testbed.testbed import Testbed


class NumberedFlows(Sequence[Flow]):
    """Flows, each made when it is asked for.

    Args:
        count: How many.
        flow: Makes the one with a number.
    """

    def __init__(self, count: int, flow: Callable[[int], Flow]) -> None:
        self._numbers = range(count)
        self._flow = flow

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Flow: ...

    @overload
    def __getitem__(self, index: slice) -> list[Flow]: ...

    def __getitem__(self, index: int | slice) -> Flow | list[Flow]:
        if isinstance(index, slice):
            return [self._flow(number) for number in self._numbers[index]]
        return self._flow(self._numbers[index])


def straight(testbed: Testbed, count: int) -> NumberedFlows:
    """Flows of clients and a transceiver that send to each other's own addresses."""

    def flow(number: int) -> Flow:
        client = testbed.client(number)
        return Flow(Leg(client, testbed.transceiver), Leg(testbed.transceiver, client))

    return NumberedFlows(count, flow)
