"""The dataplane that is none: the agent forwards everything itself."""

from collections.abc import Iterator, Mapping
from socket import socket
from typing import TYPE_CHECKING

from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class UserspaceDataplane:
    """Leaves confirmed flows to the agent, whose sockets serve all traffic anyway."""

    name = "userspace"
    forwards = False
    steers = False

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

    def tuples(self) -> Iterator[FlowTuple]:
        """None: the session table has them."""
        return iter(())

    def record(self, flow: FlowTuple) -> FlowRecord:
        """Nothing passed here."""
        return FlowRecord(flow)

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:  # noqa: ARG002  # the interface's
        """None: the session table knows."""
        return iter(())

    def counters(self) -> dict[str, int]:
        """None: the agent counts."""
        return {}

    def watch(self, loop: "AbstractEventLoop") -> None:
        """Nothing to do: the kernel looks the way of each datagram up."""

    def changes(self) -> Mapping[str, int]:
        """None: they are the kernel's business."""
        return {}

    def reconcile(self) -> list[str]:
        """Nothing to do: the kernel does so for sockets."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""
