"""A system under test: what forwards packets between client and transceiver."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bench.compare.testbed.testbed import Testbed


class Direction(StrEnum):
    """Which way packets go."""

    TO_TRANSCEIVER = "to transceiver"
    TO_CLIENT = "to client"


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction of a flow, as its sender puts it on the wire.

    Attributes:
        source: The sender's transport address.
        destination: The system's transport address.
        prefix: What stands before the payload: nothing, or a ChannelData header without
            its length field (two bytes, RFC 8656 section 12.4), which says the channel.
    """

    source: Endpoint
    destination: Endpoint
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Flow:
    """An open flow, in both directions."""

    to_transceiver: Leg
    to_client: Leg

    def leg(self, direction: Direction) -> Leg:
        """The leg of a direction."""
        return self.to_transceiver if direction is Direction.TO_TRANSCEIVER else self.to_client


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """A system that forwards.

    Attributes:
        flows: Its open flows.
        pids: Its processes; none where the kernel forwards.
        new_ufrag: Makes the server ufrag of one more session, for systems that open flows by
            Binding requests; None for others.
        restart: Starts its processes again, after they were killed; None where that takes more.
    """

    flows: Sequence[Flow]
    pids: tuple[int, ...] = ()
    new_ufrag: Callable[[], str] | None = None
    restart: Callable[[], None] | None = None


class UnderTest(Protocol):
    """What figures are figures of: a system, or a path of calls."""

    @property
    def name(self) -> str:
        """What tables and the command line call it."""

    def missing(self) -> str | None:
        """Why it cannot be measured on this machine, with what to do about it; None if it can."""


class System(UnderTest, Protocol):
    """What forwards packets between client and transceiver."""

    @property
    def max_flows(self) -> int:
        """How many flows it can have, or be made to have in the time of a benchmark."""

    def running(self, testbed: "Testbed", flows: int) -> AbstractContextManager[RunningSystem]:
        """Start it on the relay's host and open flows through it; it is stopped on leaving.

        Raises:
            LabError: It does not start, or does not open the flows.
        """
