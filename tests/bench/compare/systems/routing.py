"""Plain forwarding: what the kernel does for any router, without address translation."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.compare.model import Running
from tests.bench.compare.systems.flows import straight
from tests.bench.compare.testbed import MOST_FLOWS, Arena
from tests.lab.topology import RELAY


@contextmanager
def forwarding(arena: Arena) -> Iterator[None]:
    """Have the relay's host forward packets."""
    relay = arena.hosts[RELAY]
    relay.sysctl("ipv4/ip_forward", 1)
    try:
        yield
    finally:
        relay.sysctl("ipv4/ip_forward", 0)


class Routing:
    """Plain kernel routing, the least that a kernel without XDP does with a packet."""

    name = "plain routing"
    most_flows = MOST_FLOWS

    def missing(self) -> str | None:
        """Nothing: every kernel can."""
        return None

    @contextmanager
    def running(self, arena: Arena, flows: int) -> Iterator[Running]:
        """Let it forward; it knows no flows, so none have to be opened."""
        with forwarding(arena):
            yield Running(straight(arena, flows))
