"""The interface between the relay agent and what forwards confirmed flows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from socket import socket
from typing import TYPE_CHECKING, Protocol

from relay.core.flowtuple import FlowTuple, Source
from relay.core.sleeping import Installed
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class DataplaneChoice(StrEnum):
    """Which dataplane a relay uses."""

    XDP = "xdp"
    USERSPACE = "userspace"
    AUTO = "auto"  # XDP, or userspace with a warning where that is not possible


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a dataplane is in use, and what it has carried.

    Attributes:
        flows: Flows that are installed.
        room: How many there may be.
        bytes_to_transceivers: Of UDP payload, since somebody asked first.
        bytes_to_clients: The same the other way.
    """

    flows: int
    room: int
    bytes_to_transceivers: int
    bytes_to_clients: int


class Dataplane(Installed, Protocol):
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
    # Why it does not forward as it was told to; None while it does.
    trouble: str | None

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

    def expect(self, source: Source) -> None:
        """Pass up what a client sends without having a flow, whatever other clients send."""

    def expect_no_more(self, source: Source) -> None:
        """Treat a client as any other; one that was not expected is fine."""

    def note_edge(self, edge: Endpoint) -> None:
        """Know that many clients send from an address, on whatever port, through an edge there."""

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed here of a flow; nothing if it is not installed."""

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing through here since a moment.

        They come in lists, one for each batch of entries that was read, empty ones too: a caller
        may do something else between two batches.

        Args:
            before: The moment, in seconds of the monotonic clock.
        """

    def rekey(self, route_keys: Mapping[tuple[int, int], bytes], remote: Iterable[int]) -> None:
        """Verify routes by these keys from now on; whoever has a flow keeps it.

        Args:
            route_keys: The 16-byte keys of route tags, by cluster and key slot.
            remote: The clusters elsewhere, whose tags only their own relays can verify.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """

    def counters(self) -> dict[str, int]:
        """Packets by reason since the dataplane was loaded, summed over processors."""

    def usage(self) -> Usage | None:
        """How full it is; None where it holds nothing. It may be called from any thread."""

    def watch(self, loop: "AbstractEventLoop", look: Callable[[], None]) -> None:
        """Act on changes to this host's network at once, until `close`; again is fine.

        It is called in that loop, in the network namespace of the dataplane.

        Args:
            loop: Where it works.
            look: Called, there, when `reconcile` or `is_orphaned` has something to tell.

        Raises:
            DataplaneError: The kernel does not tell of them.
        """

    def is_orphaned(self) -> bool:
        """Whether somebody has unloaded what this works on, and perhaps loaded it anew."""

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
