"""Flows that follow from their number, so that a million of them need no memory."""

from collections.abc import Callable, Sequence
from typing import overload

from tests.bench.compare.model import Leg, OpenFlow
from tests.bench.compare.testbed import Arena


class NumberedFlows(Sequence[OpenFlow]):
    """Flows, each made when it is asked for.

    Args:
        count: How many.
        flow: Makes the one with a number.
    """

    def __init__(self, count: int, flow: Callable[[int], OpenFlow]) -> None:
        self._numbers = range(count)
        self._flow = flow

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> OpenFlow: ...

    @overload
    def __getitem__(self, index: slice) -> list[OpenFlow]: ...

    def __getitem__(self, index: int | slice) -> OpenFlow | list[OpenFlow]:
        if isinstance(index, slice):
            return [self._flow(number) for number in self._numbers[index]]
        return self._flow(self._numbers[index])


def straight(arena: Arena, count: int) -> NumberedFlows:
    """Flows of clients and a transceiver that send to each other's own addresses."""

    def flow(number: int) -> OpenFlow:
        client = arena.client(number)
        return OpenFlow(Leg(client, arena.transceiver), Leg(arena.transceiver, client))

    return NumberedFlows(count, flow)
