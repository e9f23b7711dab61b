"""The words of the comparison, which its parts share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bench.compare.testbed import Arena


class Direction(StrEnum):
    """Which way packets go."""

    TO_TRANSCEIVER = "to transceiver"
    TO_CLIENT = "to client"


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction of a flow, as its sender puts it on the wire.

    Attributes:
        source: The sender's transport address.
        destination: The contestant's transport address.
        prefix: What stands before the payload: nothing, or a ChannelData header without
            its length field (two bytes, RFC 8656 section 12.4), which says the channel.
    """

    source: Endpoint
    destination: Endpoint
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A flow that a contestant forwards, in both directions."""

    to_transceiver: Leg
    to_client: Leg

    def leg(self, direction: Direction) -> Leg:
        """The leg of a direction."""
        return self.to_transceiver if direction is Direction.TO_TRANSCEIVER else self.to_client


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant at work.

    Attributes:
        flows: Its open flows.
        pids: Its processes; none where the kernel forwards.
        new_ufrag: Makes the ufrag that one more session's client names, for those that open flows
            by Binding requests; None for others.
        again: Starts its processes again, after they were killed; None where that takes more.
    """

    flows: Sequence[OpenFlow]
    pids: tuple[int, ...] = ()
    new_ufrag: Callable[[], str] | None = None
    again: Callable[[], None] | None = None


class Contestant(Protocol):
    """What forwards packets between client and transceiver."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def most_flows(self) -> int:
        """How many flows it can have, or be made to have in the time of a benchmark."""

    def missing(self) -> str | None:
        """Why it cannot take part on this machine, with what to do about it; None if it can."""

    def running(self, arena: "Arena", flows: int) -> AbstractContextManager[Running]:
        """Start it on the relay's host and open flows through it; it is stopped on leaving.

        Raises:
            LabError: It does not start, or does not open the flows.
        """


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, measured once.

    Attributes:
        question: The question's name.
        contestant: The contestant's name.
        metric: What the figure is, with its unit: ``kpps``, ``ns_per_packet``, ``p50_us``.
        value: The figure.
        parameters: What it was measured with: ``{"payload": 160, "flows": 100}``.
    """

    question: str
    contestant: str
    metric: str
    value: float
    parameters: dict[str, int | str] = field(default_factory=dict)


class Question(Protocol):
    """What is asked of a running contestant."""

    @property
    def name(self) -> str:
        """Names it on the command line and in results."""

    @property
    def flows(self) -> Sequence[int]:
        """With which numbers of flows it is asked."""

    def ask(self, arena: "Arena", contestant: str, running: Running) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: Nothing passes, or an end of the traffic fails.
        """


class SystemQuestion(Protocol):
    """What is asked of a whole system, which the question brings up and takes down itself."""

    @property
    def name(self) -> str:
        """Names it on the command line and in results."""

    @property
    def contestant(self) -> str:
        """Of whom it is asked: ``icelane xdp``, ``direct``."""

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine, with what to do about it; None if it can."""

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the system does not start, or fails.
        """
