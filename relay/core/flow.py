"""Flows, and the commands by which the session table asks for IO."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from relay.core.flowtuple import FlowTuple
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target, decode

# A client retransmits a check with the same transaction id, and has few checks under way.
TRANSACTIONS_KEPT = 16
NEVER = float("-inf")  # seconds of the monotonic clock


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


@dataclass(slots=True, eq=False)
class Flow:
    """A flow of the session table.

    There are tens of thousands, so each is two objects: this one and its addresses.

    Attributes:
        addresses: Its addresses and the route that made it.
        state: Pending or confirmed.
        last_from_client: When the client last sent something, monotonic seconds.
        last_from_transceiver: When the transceiver last sent something, monotonic seconds.
        transactions: Transaction ids of the client's latest checks: only an answer to one of
            them confirms the flow. A confirmed flow needs none.
        packets_to_transceiver: Packets that the agent itself forwarded to the transceiver.
        bytes_to_transceiver: Their bytes, UDP payload only.
        packets_to_client: The same to the client.
        bytes_to_client: Their bytes.
        stored_at: When it was last written to the mirror, monotonic seconds; NEVER if not yet.
    """

    addresses: FlowTuple
    state: State
    last_from_client: float
    last_from_transceiver: float
    transactions: tuple[bytes, ...] = ()
    packets_to_transceiver: int = 0
    bytes_to_transceiver: int = 0
    packets_to_client: int = 0
    bytes_to_client: int = 0
    stored_at: float = NEVER

    @property
    def target(self) -> Target:
        """Who the route leads to."""
        return decode(self.addresses.route).target

    @property
    def is_connection(self) -> bool:
        """Whether it is a TCP connection of its client's.

        It ends with the connection, which ends with the agent: so it is in neither the dataplane
        nor the mirror, which are for what goes on without this agent.
        """
        return self.addresses.is_connection


@dataclass(frozen=True, slots=True)
class OpenUpstream:
    """Bind a socket to the flow's upstream address, connected to its transceiver."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class CloseUpstream:
    """Close the flow's upstream socket, and its client's connection if that has no other flow."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class SendToTransceiver:
    """Send a datagram from the flow's upstream address to its transceiver."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class SendToClient:
    """Send a datagram from the flow's VIP to its client, or on the client's connection."""

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
