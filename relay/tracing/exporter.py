"""The way of spans to a collector, by OpenTelemetry's SDK; the only place that imports it.

Who makes a span gives it away and goes on: it waits in a queue that has an end, and a thread sends
what is there in batches. Whatever becomes of it is counted, and said seldom.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from relay.errors import ConfigError
from relay.tracing.config import TracingConfig
from relay.tracing.span import Kind, Span, Tracer
from relay.wire.tracecontext import TraceContext

MOST_WAITING = 2048  # spans, some 2 MB; of 300 calls that begin while the collector is away
BATCH = 512  # spans of a request
EVERY = 1.0  # seconds between two requests
CLOSING_SECONDS = 2.0  # for what waits at the end
SAY_EVERY = 60.0  # seconds between two lines about spans that are lost
_MOST_WORDS = 300  # characters

_KINDS = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
}

_SCOPE = InstrumentationScope("icelane")

_log = logging.getLogger(__name__)


class _Words(logging.Handler):
    """Keeps what the libraries first say of a failure, for the one line that we say of it."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()[:_MOST_WORDS]


class _Counting(SpanExporter):
    """Sends by another exporter, and counts; in the processor's thread.

    Args:
        exporter: That which sends.
        clock: Seconds of a monotonic clock.
        words: What the libraries say.

    Attributes:
        taken: Spans that do not wait any more.
        sent: Those that the collector took.
        failed: Those that it did not.
    """

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float], words: _Words) -> None:
        self.taken = self.sent = self.failed = 0
        self._exporter = exporter
        self._clock = clock
        self._words = words
        self._said_at = float("-inf")
        self._said = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self._words.text = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # whatever it is, it costs these spans
            self._words.text = repr(error)[:_MOST_WORDS]
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        else:
            self.failed += len(spans)
            self._say()
        return result

    def _say(self) -> None:
        now = self._clock()
        if now - self._said_at < SAY_EVERY:
            return
        lost, self._said, self._said_at = self.failed - self._said, self.failed, now
        _log.warning("%d spans could not be sent; calls go on: %s", lost, self._words.text)

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Export:
    """Sends the spans of a service.

    It has a thread, which is to be started once privileges are given up.

    Args:
        config: Where they are sent.
        service: What they are of, such as icelane-relay, unless OTEL_SERVICE_NAME says another.
        instance: Which one of these.
        clock: Seconds of a monotonic clock.

    Raises:
        ConfigError: The environment says something of it that cannot be used.
    """

    def __init__(
        self,
        config: TracingConfig,
        service: str,
        instance: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = self._dropped = 0
        words = _quiet()
        try:
            sending = OTLPSpanExporter(endpoint=config.url)
        except (ValueError, OSError) as error:
            raise ConfigError(
                f"what the environment's OTEL_... say of sending spans cannot be used: {error}"
            ) from None
        self._exporter = _Counting(sending, clock, words)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=2 * MOST_WAITING,  # it never fills: what is too much ends here
            schedule_delay_millis=EVERY * 1000,
            max_export_batch_size=BATCH,
        )
        ours = {"service.name": service, "service.instance.id": instance}
        ours["service.version"] = version("icelane")
        self._resource = Resource(ours).merge(OTELResourceDetector().detect())

    def emit(self, span: Span) -> None:
        """Have a span sent; it never waits, and never raises."""
        if self._given - self._exporter.taken >= MOST_WAITING:
            self._dropped += 1
            return
        try:
            self._give(span)
        except Exception as error:  # noqa: BLE001  # whatever it is, it costs this span
            self._dropped += 1
            _log.debug("a span was dropped: %r", error)

    def _give(self, span: Span) -> None:
        # Not by a tracer: that takes longer, and makes ids of its own.
        status = trace.Status(trace.StatusCode.UNSET)
        if span.error is not None:
            status = trace.Status(trace.StatusCode.ERROR, span.error)
        above = TraceContext(span.context.trace_id, span.parent) if span.parent else None
        made = ReadableSpan(
            span.name,
            context=_context(span.context),
            parent=None if above is None else _context(above),
            resource=self._resource,
            attributes=span.attributes,
            links=[trace.Link(_context(each)) for each in span.links],
            kind=_KINDS[span.kind],
            instrumentation_scope=_SCOPE,
            status=status,
            start_time=_nanoseconds(span.start),
            end_time=_nanoseconds(span.end),
        )
        self._given += 1
        self._processor.on_end(made)

    def counts(self) -> dict[str, int]:
        """How many spans were sent, could not be, or had no room in the queue."""
        sent, failed = self._exporter.sent, self._exporter.failed
        return {"sent": sent, "failed": failed, "dropped": self._dropped}

    async def close(self) -> None:
        """Send what waits, for at most `CLOSING_SECONDS`."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def finish() -> None:
            shut: Callable[[], object] = self._processor.shutdown
            shut()  # it waits for its thread
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # A daemon: a collector that hangs does not keep the process.
        threading.Thread(target=finish, daemon=True).start()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await done.wait()
        except TimeoutError:
            self._exporter.shutdown()
            left = self._given - self._exporter.sent - self._exporter.failed
            _log.warning("%d spans were not sent in time, and are lost", left)


@contextlib.asynccontextmanager
async def exporting(
    config: TracingConfig, service: str, instance: str
) -> AsyncIterator[tuple[Tracer, Export]]:
    """Send a service's spans while the context is entered.

    Yields:
        What it makes them with, and what sends them.
    """
    export = Export(config, service, instance)
    try:
        yield Tracer(export.emit, config.ratio, secrets.token_bytes), export
    finally:
        await export.close()


def _context(context: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        int.from_bytes(context.trace_id),
        int.from_bytes(context.span_id),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )


def _nanoseconds(unix: float) -> int:
    seconds = math.floor(unix)
    return seconds * 10**9 + round((unix - seconds) * 1e9)


def _quiet() -> _Words:
    """Have the libraries tell us and not the log: they do at each attempt."""
    library = logging.getLogger("opentelemetry")
    found = next((each for each in library.handlers if isinstance(each, _Words)), None)
    if found is None:
        found = _Words()
        library.addHandler(found)
        library.propagate = False
    return found
