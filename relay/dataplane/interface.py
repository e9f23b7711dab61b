"""The interface between the relay agent and what forwards confirmed flows."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from socket import socket
from typing import TYPE_CHECKING, Protocol

from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class DataplaneChoice(StrEnum):
    """Which dataplane a relay uses."""

    XDP = "xdp"
    USERSPACE = "userspace"
    AUTO = "auto"  # XDP, or userspace with a warning where that is not possible


class Dataplane(Protocol):
    """What forwards confirmed flows.

    The userspace path alone serves all traffic; a dataplane only takes confirmed flows off it.
    """

    name: str
    # Whether confirmed flows are forwarded here, and not by the agent.
    forwards: bool
    # Whether `steer` works: whether one socket can have the packets of all upstream ports.
    steers: bool
    # What it found on this host when it was loaded.
    facts: HostFacts

    def steer(self, udp: socket) -> None:
        """Give this socket what comes to any upstream port of its address, until it is closed."""

    def activate(self) -> None:
        """Forward what is installed, from the next packet on; the state that it starts in."""

    def deactivate(self) -> None:
        """Leave everything to the agent, from the next packet on; what is installed stays."""

    def install(self, flow: FlowTuple) -> None:
        """Forward both directions of a flow from now on; again is fine.

        Raises:
            DataplaneFull: There is no room; nothing was installed.
        """

    def remove(self, flow: FlowTuple) -> None:
        """Stop forwarding a flow; one that is not there is fine."""

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow that is installed, in no order."""

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed here of a flow; nothing if it is not installed."""

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing through here since a moment.

        They come in lists, one for each batch of entries that was read, empty ones too: a caller
        may do something else between two batches.

        Args:
            before: The moment, in seconds of the monotonic clock.
        """

    def counters(self) -> dict[str, int]:
        """Packets by reason since the dataplane was loaded, summed over processors."""

    def watch(self, loop: "AbstractEventLoop") -> None:
        """Act on changes to this host's network at once, until `close`; again is fine.

        It is called in that loop, in the network namespace of the dataplane.

        Raises:
            DataplaneError: The kernel does not tell of them.
        """

    def changes(self) -> Mapping[str, int]:
        """Changes to this host's network since `watch`, by kind."""

    def reconcile(self) -> list[str]:
        """Keep in step with interfaces and neighbours, every few seconds; it may block.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """

    def close(self) -> None:
        """Let go of the dataplane; what is pinned goes on forwarding."""
