"""The metrics of signaling: requests as they pass, and what is known of the fleet."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from aiohttp import hdrs, web

from relay.histogram import Histogram
from relay.metrics import Kind, Measured, Metric, alone
from signaling.outcome import Handler, tell_outcome
from signaling.pool import PLACEMENTS, REFUSALS, TransceiverPool

_LIMITS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_NO_ROUTE = "none"
_METHODS = (
    *(hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH),
    *(hdrs.METH_DELETE, hdrs.METH_OPTIONS),
)
_OTHER_METHOD = "other"

REQUESTS = Metric(
    "icelane_signaling_requests_total",
    Kind.COUNTER,
    "Requests by method, by route (none: there is no such one) and by status of the answer.",
    ("method", "route", "status"),
)
SECONDS = Metric(
    "icelane_signaling_request_seconds",
    Kind.HISTOGRAM,
    "How long requests took; of a WebSocket its whole life.",
    ("route",),
)
REFUSED = Metric(
    "icelane_signaling_refused_requests_total",
    Kind.COUNTER,
    "Requests that were answered with an error, by its code.",
    ("reason",),
)
PLACED = Metric(
    "icelane_signaling_placements_total",
    Kind.COUNTER,
    "Calls and sessions for which a transceiver was looked for, by what came of it.",
    ("result",),
)
ATTEMPTS = Metric(
    "icelane_signaling_placement_refusals_total",
    Kind.COUNTER,
    "Transceivers that were asked for a call and did not take it, by why; another one is asked.",
    ("reason",),
)
TRANSCEIVERS = Metric(
    "icelane_signaling_transceivers",
    Kind.GAUGE,
    "Transceivers that are registered, that answer, that drain, and that have room.",
    ("state",),
)
REGISTRY = Metric(
    "icelane_signaling_registry_working",
    Kind.GAUGE,
    "0 while what is known of the fleet may be old, as Redis or the file cannot be read.",
)
FAULTS = Metric(
    "icelane_signaling_faults_total",
    Kind.COUNTER,
    "Exceptions that nobody expected: each is a bug, and the log has where.",
)
WORKING = Metric(
    "icelane_signaling_task_working",
    Kind.GAUGE,
    "1 for a background task that works; transceivers are polled by one called poll.",
    ("task",),
)

SPANS = Metric(
    "icelane_signaling_spans_total",
    Kind.COUNTER,
    "Spans of offers by what became of them: sent, failed or dropped; absent without tracing.",
    ("result",),
)

METRICS = (
    REQUESTS,
    SECONDS,
    REFUSED,
    PLACED,
    ATTEMPTS,
    TRANSCEIVERS,
    REGISTRY,
    WORKING,
    FAULTS,
    SPANS,
)


class Requests:
    """Counts requests; its `count` is a middleware, behind that which answers errors."""

    def __init__(self) -> None:
        self._answered: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._seconds: dict[str, Histogram] = {}

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count a request, and what it comes to."""
        began = time.monotonic()
        return await tell_outcome(request, handler, partial(self._note, request, began))

    def _note(self, request: web.Request, began: float, status: int, code: str | None) -> None:
        resource = request.match_info.route.resource
        route = _NO_ROUTE if resource is None else resource.canonical
        method = request.method if request.method in _METHODS else _OTHER_METHOD
        self._answered[method, route, str(status)] += 1
        self._seconds.setdefault(route, Histogram(_LIMITS)).observe(time.monotonic() - began)
        if code is not None:
            self._refused[code] += 1

    def measure(self) -> Iterator[Measured]:
        """What is measured, at one scrape."""
        yield REQUESTS, self._answered
        yield SECONDS, self._seconds
        yield REFUSED, self._refused


def measure_fleet(
    pool: TransceiverPool,
    registry: Callable[[], str | None],
    tasks: Mapping[str, bool],
    faults: Mapping[str, int],
) -> Iterator[Measured]:
    """Metrics of what is known of the fleet, at one scrape.

    Args:
        pool: The transceivers.
        registry: Says why what is known of the fleet may be old; None while it is not.
        tasks: Whether each background task of the server works.
        faults: What has raised, by where.
    """
    yield PLACED, {result: pool.placements[result] for result in PLACEMENTS}
    yield ATTEMPTS, {reason: pool.refusals[reason] for reason in REFUSALS}
    states = {
        "registered": pool.members.size,
        "reachable": pool.members.reachable,
        "draining": pool.members.draining,
        "with_room": pool.members.with_room,
    }
    yield TRANSCEIVERS, states
    yield REGISTRY, alone(float(registry() is None))
    yield WORKING, {**tasks, "poll": not pool.members.failing}
    yield FAULTS, alone(sum(faults.values()))
