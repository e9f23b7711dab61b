"""Confirmed flows that the dataplane forwards, and that the agent has not met since it started.

What an agent leaves behind, the next one takes over without reading it flow by flow: the memory of
the dataplane is the table. A flow sleeps until it has to do with the agent: a packet of it comes
up, or it expires. Nothing of it is here but its upstream port, which is taken.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Protocol

from relay.core.flow import Flow, Instant, State
from relay.core.flowtuple import FlowTuple
from relay.core.upstreamports import UpstreamPorts
from relay.wire.endpoint import PACKED_SIZE, Endpoint

ROUTE_WORD = slice(16, 20)  # bytes of a route


class Installed(Protocol):
    """What is asked of a dataplane about the flows that it forwards."""

    def adopt(self, vips: Container[Endpoint]) -> Iterable[tuple[bytes, int, bytes]]:
        """Take over what an agent before this one has left; once, before anything is installed.

        Args:
            vips: The public addresses; flows of others are left out.

        Returns:
            For each upstream address: itself, packed but for the port; the lowest port; and for
            each port from there on a byte, 1 if a flow has it, else 0.
        """

    def routes(self) -> Iterable[int]:
        """The `route_word` of each flow's route, in no order."""

    def count(self) -> int:
        """How many flows are installed."""

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow that is installed, in no order."""

    def of_client(self, ends: bytes) -> FlowTuple | None:
        """The flow of a client and a VIP, each packed."""

    def at_upstream(self, upstream: bytes) -> FlowTuple | None:
        """The flow at an upstream address, packed."""


def route_word(route: bytes) -> int:
    """Four bytes of a route's tag, by which one route is told from all but a few of 2^32 others."""
    return int.from_bytes(route[ROUTE_WORD], sys.byteorder)


class SleepingFlows:
    """The flows that sleep.

    Args:
        installed: The dataplane that has them.
        vips: The public addresses served here.
        ports: The upstream addresses, of which those of flows that sleep are taken.
        since: When they began to, which is when their transceivers count as last heard.
    """

    def __init__(
        self, installed: Installed, vips: Container[Endpoint], ports: UpstreamPorts, since: Instant
    ) -> None:
        self.installed = installed
        self._ports = ports
        self._since = since
        # A pass over them for the mirror, and when it began.
        self._pass: Iterator[FlowTuple] | None = None
        self._pass_began = float("-inf")
        for address, lowest, taken in installed.adopt(vips):
            ports.put_to_sleep(address, lowest, taken)
        # What routes they have, in 4 bytes each; and how many of a route have been woken since.
        self._routes = array("I", sorted(installed.routes()))
        self._woken: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return self._ports.asleep

    def has(self, flow: FlowTuple) -> bool:
        """Whether a flow of the dataplane sleeps."""
        return bool(self._ports.asleep) and self._ports.sleeps(flow)

    def strays(self) -> list[FlowTuple]:
        """The flows that the dataplane has, and that are none of this relay's any more."""
        if len(self) == self.installed.count():
            return []
        return [flow for flow in self.installed.tuples() if not self.has(flow)]

    def knows(self, source: bytes) -> bool:
        """Whether a client's flow sleeps; by its `Source`."""
        found = self._of_client(source)
        return found is not None and self.has(found)

    def wake(self, source: bytes) -> Flow | None:
        """A client's flow, if it sleeps, which it does no longer then."""
        found = self._of_client(source)
        if found is None or not self._ports.wake(found):
            return None
        self._woken[route_word(found.route)] += 1
        return self.flow(found)

    def of_route(self, route: bytes) -> int:
        """How many of a route sleep."""
        if not self._ports.asleep:
            return 0
        word = route_word(route)
        start = bisect_left(self._routes, word)
        return bisect_right(self._routes, word, start) - start - self._woken[word]

    def client_at(self, upstream: bytes) -> bytes | None:
        """The `Source` of the flow at an upstream address, whether it sleeps or not."""
        found = self.installed.at_upstream(upstream)
        return found.from_client if found is not None else None

    def flow(self, addresses: FlowTuple) -> Flow:
        """One as it would be awake, to be looked at; it sleeps on."""
        heard = self._since.monotonic
        return Flow(
            addresses, State.CONFIRMED, heard, heard, epoch=0, claimed=True, opened=self._since
        )

    def to_store(self, now: float, most: int, every: float) -> Iterator[Flow]:
        """Those whose turn it is to be written to the mirror; each has one in a while.

        Args:
            now: Monotonic seconds.
            most: How many to look at now.
            every: The least time between two turns of one, in seconds.
        """
        if self._pass is None:
            if not len(self) or now - self._pass_began < every:
                return
            self._pass, self._pass_began = self.installed.tuples(), now
        looked_at = list(islice(self._pass, most))
        if len(looked_at) < most:
            self._pass = None
        # What had a flow that slept when the memory was read, and sleeps now, is that flow.
        yield from (self.flow(each) for each in looked_at if self.has(each))

    def _of_client(self, source: bytes) -> FlowTuple | None:
        # A longer one is a connection's, of which the dataplane has none.
        if not self._ports.asleep or len(source) != 2 * PACKED_SIZE:
            return None
        return self.installed.of_client(source)
