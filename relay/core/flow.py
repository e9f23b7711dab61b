"""Flows, and the commands by which the session table asks for IO."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeVar, dataclass_transform

from relay.core.flowtuple import FlowTuple, Source
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target, decode

# A client retransmits a check with the same transaction id, and has few checks under way.
TRANSACTIONS_KEPT = 16
# Seconds of the monotonic clock: before and after all.
NEVER, FOREVER = float("-inf"), float("inf")


class Instant(NamedTuple):
    """A moment on both clocks.

    Attributes:
        monotonic: Seconds of the monotonic clock, for timers.
        unix: Seconds of Unix time, for what other hosts can compare.
    """

    monotonic: float
    unix: float


_LONG_AGO = Instant(0.0, 0.0)


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
        epoch: How often a relay has taken it over, from 1 on; 0 where only the mirror knows, as an
            agent before this one had it.
        claimed: Whether it is this relay's in the mirror, too.
        opened: When this agent got to know it.
        ends_at: When it goes, monotonic seconds, as its transceiver has said goodbye.
        replaces: The flow that its client had, until this one is in the dataplane.
        introduced: What an edge says of its client, which comes from an address of that edge.
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
    epoch: int = 1
    claimed: bool = False
    opened: Instant = _LONG_AGO
    ends_at: float = FOREVER
    replaces: "Flow | None" = None
    introduced: Announcement | None = None

    @property
    def target(self) -> Target:
        """Who the route leads to."""
        return decode(self.addresses.route).target

    @property
    def has_ended(self) -> bool:
        """Whether its transceiver has said goodbye: it lives on for what is still under way."""
        return self.ends_at < FOREVER

    @property
    def is_connection(self) -> bool:
        """Whether it is a TCP connection of its client's.

        It ends with the connection, which ends with the agent: so it is in neither the dataplane
        nor the mirror, which are for what goes on without this agent.
        """
        return self.addresses.is_connection


_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True)
def _command(kind: type[_Kind]) -> type[_Kind]:
    """A dataclass that cannot be changed, which mypy sees to.

    There are several for each first packet, and one that sees to it itself takes three times as
    long to be made.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


@_command
class OpenUpstream:
    """Bind a socket to the flow's upstream address, connected to its transceiver."""

    flow: Flow


@_command
class CloseUpstream:
    """Close the flow's upstream socket, and its client's connection if that has no other flow."""

    flow: Flow


@_command
class SendToTransceiver:
    """Send a datagram from the flow's upstream address to its transceiver."""

    flow: Flow
    data: bytes


@_command
class Announce:
    """Tell a flow's transceiver who the client behind its upstream address is.

    Attributes:
        flow: The flow. It may get another upstream address until this is executed.
        at: When.
    """

    flow: Flow
    at: Instant


@_command
class SendToClient:
    """Send a datagram from the flow's VIP to its client, or on the client's connection."""

    flow: Flow
    data: bytes


@_command
class Install:
    """Give a confirmed flow to the dataplane, and say to the table whether it is there.

    What follows in the list about this flow must wait for it, and falls away if it fails.
    """

    flow: Flow


@_command
class Remove:
    """Take a flow from the dataplane."""

    flow: Flow


@_command
class Store:
    """Write a confirmed flow to the mirror."""

    flow: Flow


@_command
class Forget:
    """Delete a flow from the mirror."""

    flow: Flow


@_command
class Recall:
    """Find the flow of a client that is not known here, in the mirror or by asking transceivers.

    Attributes:
        source: The client.
        data: What came from it, to be forwarded when the flow is found.
    """

    source: Source
    data: bytes


@_command
class NoteEdge:
    """Tell the dataplane that an edge sends its clients' datagrams from this address."""

    address: Endpoint


@_command
class Alarm:
    """Tell the operator that somebody was refused, and what to do."""

    text: str


Command = (
    OpenUpstream
    | CloseUpstream
    | SendToTransceiver
    | Announce
    | SendToClient
    | Install
    | Remove
    | Store
    | Forget
    | Recall
    | NoteEdge
    | Alarm
)
