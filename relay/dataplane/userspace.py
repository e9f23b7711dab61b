"""The dataplane that is none: the agent forwards everything itself."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from socket import socket
from typing import TYPE_CHECKING

from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts
from relay.dataplane.interface import Usage
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class UserspaceDataplane:
    """Leaves confirmed flows to the agent, whose sockets serve all traffic anyway."""

    name = "userspace"
    forwards = False
    steers = False
    trouble: str | None = None

    def __init__(self) -> None:
        self.facts = HostFacts()

    def steer(self, udp: socket) -> None:
        """Never called: without a program in the kernel nothing can be steered."""

    def activate(self) -> None:
        """Nothing to do."""

    def deactivate(self) -> None:
        """Nothing to do."""

    def install(self, flow: FlowTuple) -> None:
        """Nothing to do: the agent's sockets of the flow are open."""

    def remove(self, flow: FlowTuple) -> None:
        """Nothing to do."""

    def expect(self, source: Source) -> None:
        """Nothing to do: all that clients send comes to the agent."""

    def expect_no_more(self, source: Source) -> None:
        """Nothing to do, likewise."""

    def note_edge(self, edge: Endpoint) -> None:
        """Nothing to do: the session table counts checks where an edge says that they come from."""

    def adopt(self, vips: Container[Endpoint]) -> Iterable[tuple[bytes, int, bytes]]:  # noqa: ARG002  # the interface's
        """Nothing: an agent takes its flows with it."""
        return ()

    def routes(self) -> Iterable[int]:
        """None, likewise."""
        return ()

    def count(self) -> int:
        """None: the session table has them."""
        return 0

    def of_client(self, ends: bytes) -> FlowTuple | None:  # noqa: ARG002  # the interface's
        """None, likewise."""
        return None

    def at_upstream(self, upstream: bytes) -> FlowTuple | None:  # noqa: ARG002  # the interface's
        """None, likewise."""
        return None

    def tuples(self) -> Iterator[FlowTuple]:
        """None: the session table has them."""
        return iter(())

    def record(self, flow: FlowTuple) -> FlowRecord:
        """Nothing passed here."""
        return FlowRecord(flow)

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:  # noqa: ARG002  # the interface's
        """None: the session table knows."""
        return iter(())

    def rekey(self, route_keys: Mapping[tuple[int, int], bytes], remote: Iterable[int]) -> None:
        """Nothing to do: the agent verifies all routes."""

    def counters(self) -> dict[str, int]:
        """None: the agent counts."""
        return {}

    def usage(self) -> Usage | None:
        """None: it holds nothing."""

    def watch(self, loop: "AbstractEventLoop", look: Callable[[], None]) -> None:
        """Nothing to do: the kernel looks the way of each datagram up."""

    def is_orphaned(self) -> bool:
        """Never: nothing is loaded."""
        return False

    def changes(self) -> Mapping[str, int]:
        """None: they are the kernel's business."""
        return {}

    def reconcile(self) -> list[str]:
        """Nothing to do: the kernel does so for sockets."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""
