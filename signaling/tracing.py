"""The traces of requests that make calls: a middleware, where traces are wanted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import hdrs, web

from relay.tracing.span import Tracer, WallClock
from relay.wire.tracecontext import TRACEPARENT, TraceContext
from signaling.errors import ApiError
from signaling.offerspans import OfferSpans

#: Under which a request has its `OfferSpans`.
SPANS = web.RequestKey("spans", OfferSpans)
_GONE = 499  # of a client that has not waited, as proxies log it

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            response = await handler(request)
            status = response.status
        except asyncio.CancelledError:
            status = _GONE
            raise
        except (ApiError, web.HTTPException) as error:
            status = error.status
            raise
        finally:
            spans.close(route, status)
        return response
