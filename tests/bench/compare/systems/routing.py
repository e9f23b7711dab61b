"""Plain forwarding: what the kernel does for any router, without address translation."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.compare.systems.flows import straight
from tests.bench.compare.testbed.system import RunningSystem
from tests.bench.compare.testbed.testbed import MOST_FLOWS, Testbed
from tests.lab.topology import RELAY


@contextmanager
def forwarding(testbed: Testbed) -> Iterator[None]:
    """Have the relay's host forward packets."""
    relay = testbed.hosts[RELAY]
    relay.sysctl("ipv4/ip_forward", 1)
    try:
        yield
    finally:
        relay.sysctl("ipv4/ip_forward", 0)


class Routing:
    """Plain kernel routing, the least that a kernel without XDP does with a packet."""

    name = "plain routing"
    max_flows = MOST_FLOWS

    def missing(self) -> str | None:
        """Nothing: every kernel can."""
        return None

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Let it forward; it knows no flows, so none have to be opened."""
        with forwarding(testbed):
            yield RunningSystem(straight(testbed, flows))
