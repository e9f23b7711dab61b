"""Spans of an offer: from its request to its answer, with whoever was asked to take it. Pure.

The trace's ids are those of the ufrag in the answer, as the transceiver and the relay have them,
and there is none before a transceiver has answered. So spans are made at the end, and the trace has
ids of its own if no answer comes. What a client says of its trace is a link and nothing more:
anybody may say anything.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from relay.errors import WireError
from relay.tracing.span import Kind, Span, Tracer, Value, WallClock
from relay.wire.route import read_ufrag
from relay.wire.tracecontext import (
    RENAMED,
    SPAN_ID_SIZE,
    TRACE_ID_SIZE,
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    is_sampled,
)

_UFRAG = "a=ice-ufrag:"
#: In place of `OfferSpans.asking` and `OfferSpans.placing` where there are no spans.
UNTRACED: contextlib.AbstractContextManager[Mapping[str, str]] = contextlib.nullcontext(
    MappingProxyType({})
)


class OfferSpans:
    """The trace of one offer.

    Args:
        tracer: Makes the spans.
        clock: Unix time.
        now: Seconds of a monotonic clock.
        client: The span that the client says its request comes from; None where it says none.
    """

    def __init__(
        self,
        tracer: Tracer,
        clock: WallClock,
        now: Callable[[], float],
        client: TraceContext | None,
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._now = now
        self._links = (client,) if client is not None else ()
        self._began = now()
        self._first = TraceContext(tracer.randbytes(TRACE_ID_SIZE), tracer.randbytes(SPAN_ID_SIZE))
        self._placing: bytes | None = None
        self._made: list[tuple[bytes, Span]] = []  # with their ids

    @contextlib.contextmanager
    def placing(self) -> Iterator[Mapping[str, str]]:
        """The time in which a transceiver is found."""
        self._placing = self._tracer.randbytes(SPAN_ID_SIZE)
        with self._part("placement", self._placing, Kind.INTERNAL, {}):
            yield {}

    @contextlib.contextmanager
    def asking(self, transceiver: str) -> Iterator[Mapping[str, str]]:
        """The time in which a transceiver is asked; gives the headers that tell it of the trace.

        Args:
            transceiver: Its cluster, slot and generation.
        """
        span_id = self._tracer.randbytes(SPAN_ID_SIZE)
        attributes = {"icelane.transceiver": transceiver, "http.request.method": "POST"}
        told = self._first._replace(span_id=span_id)
        with self._part("POST /v1/sessions", span_id, Kind.CLIENT, attributes):
            yield {TRACEPARENT: told.header, TRACESTATE: RENAMED}

    def answered(self, sdp: str) -> None:
        """The offer has this answer, whose ufrag gives the trace its ids."""
        lines = sdp.splitlines()
        ufrag = next((line for line in lines if line.startswith(_UFRAG)), _UFRAG)
        with contextlib.suppress(WireError):  # of a transceiver of somebody's own
            self._first = TraceContext.of_route(read_ufrag(ufrag.removeprefix(_UFRAG)).raw)

    def close(self, route: str, status: int) -> None:
        """The request has been answered: give the spans away, if it came to be placed.

        Args:
            route: The route that it was for.
            status: The answer's.
        """
        if self._placing is None or not is_sampled(self._first.trace_id, self._tracer.ratio):
            return
        attributes: dict[str, Value] = {
            "http.request.method": "POST",
            "http.route": route,
            "http.response.status_code": status,
        }
        times = self._clock.at(self._began), self._clock.at(self._now())
        self._tracer.emit(
            Span(
                f"POST {route}",
                self._first,
                None,
                *times,
                kind=Kind.SERVER,
                attributes=attributes,
                error=str(status) if status >= 500 else None,
                links=self._links,
            )
        )
        for span_id, made in self._made:
            self._tracer.emit(self._under(span_id, made))

    @contextlib.contextmanager
    def _part(
        self, name: str, span_id: bytes, kind: Kind, attributes: Mapping[str, Value]
    ) -> Iterator[None]:
        began, error = self._now(), None
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            # Its context is not known yet.
            times = self._clock.at(began), self._clock.at(self._now())
            made = Span(name, self._first, None, *times, kind, attributes, error)
            self._made.append((span_id, made))

    def _under(self, span_id: bytes, made: Span) -> Span:
        above = self._first.span_id if span_id == self._placing else self._placing
        return replace(made, context=self._first._replace(span_id=span_id), parent=above)
