"""Spans of flows' set-ups: from a ufrag's first check to when the dataplane has the flow.

Nobody tells a relay of a call's trace: it makes the ids of the route, as the other services do. Of
a flow that is restored there is none, as nobody waited for it.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from relay.core.flow import Flow, Instant
from relay.core.flowevents import FlowEvent, FlowEvents, Happened
from relay.tracing.config import TracingConfig
from relay.tracing.exporter import exporting
from relay.tracing.span import Span, Tracer, Value, WallClock
from relay.wire.route import decode
from relay.wire.tracecontext import SPAN_ID_SIZE, TraceContext, is_sampled


class FlowSpans:
    """Listens to what happens to flows, and makes spans of it.

    Args:
        tracer: Makes them.
        forwarder: Says what forwards confirmed flows right now.
    """

    def __init__(self, tracer: Tracer, forwarder: Callable[[], str]) -> None:
        self._tracer = tracer
        self._forwarder = forwarder
        # Those that are set up now, with when they were confirmed.
        self._flows: dict[Flow, Instant | None] = {}

    def hear(self, event: FlowEvent) -> None:
        """Take what has happened."""
        flow = event.flow
        if event.what is Happened.OPENED:
            trace = TraceContext.of_route(flow.addresses.route)
            if is_sampled(trace.trace_id, self._tracer.ratio):
                self._flows[flow] = None
        elif flow not in self._flows:
            return
        elif event.what is Happened.CONFIRMED:
            self._flows[flow] = event.at
        else:
            confirmed = self._flows.pop(flow)
            error = event.reason if event.what is Happened.CLOSED else None
            self._tell(flow, confirmed, event.at, error)

    def _tell(
        self, flow: Flow, confirmed: Instant | None, over: Instant, error: str | None
    ) -> None:
        first = TraceContext.of_route(flow.addresses.route)
        clock = WallClock(flow.opened.unix, flow.opened.monotonic)
        attributes = self._attributes(flow)

        def emit(
            name: str, parent: bytes, since: Instant, until: Instant, why: str | None = None
        ) -> bytes:
            context = first._replace(span_id=self._tracer.randbytes(SPAN_ID_SIZE))
            times = clock.at(since.monotonic), clock.at(until.monotonic)
            self._tracer.emit(Span(name, context, parent, *times, attributes=attributes, error=why))
            return context.span_id

        whole = emit("flow set-up", first.span_id, flow.opened, over, error)
        if confirmed is None:
            emit("pending", whole, flow.opened, over, error)
            return
        emit("pending", whole, flow.opened, confirmed)
        if not flow.is_connection:
            emit("install", whole, confirmed, over, error)

    def _attributes(self, flow: Flow) -> Mapping[str, Value]:
        return {
            "icelane.transceiver": str(decode(flow.addresses.route).target),
            "icelane.dataplane": str(self._forwarder()),
            "network.transport": flow.addresses.transport.name.lower(),
        }


@asynccontextmanager
async def tracing_flows(
    config: TracingConfig, instance: str, events: FlowEvents, forwarder: Callable[[], str]
) -> AsyncIterator[Callable[[], dict[str, int]]]:
    """Send spans of flows while the context is entered.

    Args:
        config: Where to.
        instance: Which relay it is.
        events: Tell what happens to flows.
        forwarder: Says what forwards confirmed flows right now.

    Yields:
        Says how many were sent, and were not.
    """
    async with exporting(config, "icelane-relay", instance) as (tracer, export):
        with events.told_to(FlowSpans(tracer, forwarder).hear):
            yield export.counts
