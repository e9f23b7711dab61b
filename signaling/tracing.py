"""The traces of requests that make calls: a middleware, where traces are wanted."""

import time

from aiohttp import hdrs, web

from relay.tracing.span import Tracer, WallClock
from relay.wire.tracecontext import TRACEPARENT, TraceContext
from signaling.offerspans import OfferSpans
from signaling.outcome import Handler, tell_outcome

#: Under which a request has its `OfferSpans`.
SPANS = web.RequestKey("spans", OfferSpans)


class OfferTracing:
    """Traces offers; its `trace` is a middleware, behind that which answers errors.

    Args:
        tracer: Makes the spans.
        paths: The routes at which calls are made.
    """

    def __init__(self, tracer: Tracer, paths: frozenset[str]) -> None:
        self._tracer = tracer
        self._paths = paths

    @web.middleware
    async def trace(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Trace a request, if it is one that makes a call."""
        resource = request.match_info.route.resource
        route = "" if resource is None else resource.canonical
        if request.method != hdrs.METH_POST or route not in self._paths:
            return await handler(request)
        client = TraceContext.parse(request.headers.get(TRACEPARENT))
        clock = WallClock(time.time(), time.monotonic())
        spans = OfferSpans(self._tracer, clock, time.monotonic, client)
        request[SPANS] = spans
        return await tell_outcome(request, handler, lambda status, _: spans.close(route, status))
