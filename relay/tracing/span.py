"""Spans as services make them: when they are over, with the ids that they are to have. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from relay.wire.tracecontext import TraceContext

Value = str | int | float | bool


class Kind(Enum):
    """What a span is to the one above it."""

    INTERNAL = auto()
    SERVER = auto()  # a request of somebody else
    CLIENT = auto()  # a request to somebody else


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took its time.

    Attributes:
        name: What; one of few.
        context: Its ids.
        parent: The id of the span above it in the trace; None for the first one.
        start: Unix seconds.
        end: Unix seconds.
        kind: What it is to the one above it.
        attributes: What else there is to know. No address, no ufrag, no name of a caller: spans
            leave the host.
        error: Why it failed, in one word or few; None where it did not.
        links: Spans of other traces that belong to it.
    """

    name: str
    context: TraceContext
    parent: bytes | None
    start: float
    end: float
    kind: Kind = Kind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    links: tuple[TraceContext, ...] = ()


@dataclass(frozen=True, slots=True)
class Tracer:
    """What a service makes its spans with.

    Attributes:
        emit: Takes a span; it never waits.
        ratio: The share of traces that are recorded.
        randbytes: Makes random bytes, for ids.
    """

    emit: Callable[[Span], None]
    ratio: float
    randbytes: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class WallClock:
    """Unix time that does not jump: it goes with the monotonic clock from one moment on.

    Attributes:
        unix: That moment in Unix seconds.
        monotonic: And in seconds of the monotonic clock.
    """

    unix: float
    monotonic: float

    def at(self, monotonic: float) -> float:
        """The Unix seconds of a time of the monotonic clock."""
        return self.unix + (monotonic - self.monotonic)
