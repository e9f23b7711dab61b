"""Loads of all pairs of families at a time, and what of them may be lost."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.lab.delivery import Delivery
from tests.lab.load import Load
from tests.lab.relay_testbed import FAMILIES, RelayTestbed

PAUSE = 0.3  # seconds before and after what happens


@contextmanager
def loads(
    testbed: RelayTestbed, rate: float, *, outage: float = 0.0, taken_over: bool = False
) -> Iterator[list[Load]]:
    """A load of each pair of families; no way of any is cut for longer than the outage.

    Where the kernel takes over from the agent, it may overtake the packets that the agent has.

    Args:
        testbed: What they go through.
        rate: Packets a second, each way and flow.
        outage: In seconds.
        taken_over: Whether the kernel takes over.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(testbed.load(pair, rate=rate)) for pair in FAMILIES]
        running[0].run_for(PAUSE)
        yield running
        running[0].run_for(PAUSE)
    for pair, load in zip(FAMILIES, running, strict=True):
        assert len(load.upstreams) == 1, "the flow moved to another upstream address"
        for way in (load.to_transceiver, load.to_client):
            if outage == 0.0:
                overtaken = way.reordered if taken_over else 0
                assert (pair, way) == (pair, Delivery(way.sent, reordered=overtaken))
            assert (way.duplicated, way.damaged) == (0, 0)
            assert way.lost <= outage * rate, (pair, way)
            assert way.sent > rate * PAUSE
