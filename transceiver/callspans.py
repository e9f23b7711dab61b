"""Spans of a call's set-up in its transceiver: from the offer to sound both ways. Pure.

The steps are noted whether somebody wants spans or not, for metrics. A trace looks at them once a
second with whatever else is looked at, and makes its spans when the set-up is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from relay.tracing.span import Kind, Span, Tracer, Value, WallClock
from relay.wire.route import read_ufrag
from relay.wire.tracecontext import (
    SPAN_ID_SIZE,
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    is_renamed,
    is_sampled,
)

#: Seconds from the offer after which a set-up is told as far as it came.
PATIENCE = 30.0
#: By its name: what a span begins with, and what it ends with.
_SPANS = {
    "answer": ("offer", "answer"),
    "first check": ("answer", "first_check"),
    "nomination": ("first_check", "nominated"),
    "DTLS": ("first_check", "dtls"),
    "sound from client": ("dtls", "first_audio"),
    "sound to client": ("dtls", "first_sound"),
    "channel": ("dtls", "first_channel"),
}
_NOT_CONNECTED = "not_connected"


@dataclass(frozen=True, slots=True)
class Told:
    """What a request for a call says of the trace that it belongs to.

    Attributes:
        context: The span that it comes from.
        renamed: Whether that span gets the ids of the ufrag, too.
    """

    context: TraceContext
    renamed: bool

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self | None:
        """What headers say; None where they say nothing."""
        context = TraceContext.parse(headers.get(TRACEPARENT))
        return cls(context, is_renamed(headers.get(TRACESTATE))) if context else None


class CallSpans:
    """The trace of one call.

    Args:
        tracer: Makes the spans.
        first: The first span of the trace.
        told: What its request says; None where it says nothing.
        clock: Unix time.
        attributes: What its spans tell.
    """

    def __init__(
        self,
        tracer: Tracer,
        first: TraceContext,
        told: Told | None,
        clock: WallClock,
        attributes: Mapping[str, Value],
    ) -> None:
        self._tracer = tracer
        self._first = first
        self._told = told
        self._clock = clock
        self._attributes = attributes

    @classmethod
    def of(
        cls,
        tracer: Tracer,
        ufrag: str,
        told: Told | None,
        clock: WallClock,
    ) -> Self | None:
        """The trace of a call by its ufrag; None where it is not one of those that are recorded."""
        route = read_ufrag(ufrag)
        first = TraceContext.of_route(route.raw)
        if not is_sampled(first.trace_id, tracer.ratio):
            return None
        return cls(tracer, first, told, clock, {"icelane.transceiver": str(route.target)})

    def tell(self, began: float, moments: Mapping[str, float], now: float, ended: str) -> None:
        """Make the spans.

        Args:
            began: When the offer came, by the monotonic clock.
            moments: When each step was taken, as far as it was.
            now: The time.
            ended: Why the call has ended, in one word; empty where it goes on.
        """
        connected = "dtls" in moments
        # Where it did not connect, it failed now; where it did, its last step ends it.
        over = max(moments.values(), default=now) if connected else now
        whole, parent, links = self._whole()
        error = None if connected else ended or _NOT_CONNECTED
        times = self._clock.at(began), self._clock.at(over)
        self._tracer.emit(
            Span("call set-up", whole, parent, *times, Kind.SERVER, self._attributes, error, links)
        )
        moments = {"offer": began, **moments}
        for name, (start, end) in _SPANS.items():
            if start in moments and end in moments:
                since, until = (self._clock.at(moments[each]) for each in (start, end))
                times = since, max(since, until)
                context = self._new()
                self._tracer.emit(
                    Span(name, context, whole.span_id, *times, attributes=self._attributes)
                )

    def _whole(self) -> tuple[TraceContext, bytes | None, tuple[TraceContext, ...]]:
        """The ids of the span of the set-up, its parent, and what it is linked to.

        Without signaling that gives its spans the same trace, this is the first span.
        """
        if self._told is None:
            return self._first, None, ()
        if self._told.renamed:
            return self._new(), self._told.context.span_id, ()
        return self._first, None, (self._told.context,)

    def _new(self) -> TraceContext:
        return self._first._replace(span_id=self._tracer.randbytes(SPAN_ID_SIZE))
