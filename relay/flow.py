"""Flows, and the commands by which the session table asks for IO."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from relay.dataplane.base import FlowTuple
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target

# A client retransmits a check with the same transaction id, and has few checks under way.
TRANSACTIONS_KEPT = 16


class Instant(NamedTuple):
    """A moment on both clocks.

    Attributes:
        monotonic: Seconds of the monotonic clock, for timers.
        unix: Seconds of Unix time, for what other hosts can compare.
    """

    monotonic: float
    unix: float


class State(Enum):
    """How far a flow has come."""

    PENDING = "pending"  # a valid ufrag made it; only STUN passes, through userspace
    CONFIRMED = "confirmed"  # the transceiver answered a check with success; everything passes


@dataclass(slots=True)
class Traffic:
    """Packets and bytes (UDP payload) that the agent itself forwarded in one direction."""

    packets: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one packet."""
        self.packets += 1
        self.bytes += size


@dataclass(slots=True, eq=False)
class Flow:
    """A flow of the session table.

    Attributes:
        addresses: Its addresses and the route that made it.
        target: Who the route leads to.
        state: Pending or confirmed.
        last_from_client: When the client last sent something, monotonic seconds.
        last_from_transceiver: When the transceiver last sent something, monotonic seconds.
        transactions: Transaction ids of the client's latest checks: only an answer to one of
            them confirms the flow. A confirmed flow needs none.
        to_transceiver: What the agent forwarded to the transceiver.
        to_client: What the agent forwarded to the client.
        stored_at: When it was last written to the mirror, monotonic seconds.
    """

    addresses: FlowTuple
    target: Target
    state: State
    last_from_client: float
    last_from_transceiver: float
    transactions: tuple[bytes, ...] = ()
    to_transceiver: Traffic = field(default_factory=Traffic)
    to_client: Traffic = field(default_factory=Traffic)
    stored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenUpstream:
    """Bind a socket to the flow's upstream address, connected to its transceiver."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class CloseUpstream:
    """Close the flow's upstream socket."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class SendToTransceiver:
    """Send a datagram from the flow's upstream address to its transceiver."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class SendToClient:
    """Send a datagram from the flow's VIP to its client."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class Install:
    """Give a confirmed flow to the dataplane. What follows in the list must wait for it."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a flow from the dataplane."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Store:
    """Write a confirmed flow to the mirror."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete a flow from the mirror."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Recall:
    """Look in the mirror for the flow of a client that is not known here."""

    client: Endpoint
    vip: Endpoint


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell the operator that somebody was refused, and what to do."""

    text: str


Command = (
    OpenUpstream
    | CloseUpstream
    | SendToTransceiver
    | SendToClient
    | Install
    | Remove
    | Store
    | Forget
    | Recall
    | Alarm
)
