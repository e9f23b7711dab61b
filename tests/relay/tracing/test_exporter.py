"""Spans reach a real collector, and one that is away or hangs costs nothing but them."""

import logging
import socket
import time
from collections.abc import Callable

import pytest

from relay.errors import ConfigError
from relay.tracing import exporter
from relay.tracing.config import TracingConfig
from relay.tracing.exporter import Export, exporting
from relay.tracing.span import Kind, Span
from relay.wire.tracecontext import TraceContext
from tests.collector import collecting
from tests.ports import free_port

CONTEXT = TraceContext(bytes(range(16)), bytes(range(8, 16)))
CLIENT = TraceContext(b"\x77" * 16, b"\x88" * 8)
SPAN = Span(
    "answer",
    CONTEXT,
    b"\x01" * 8,
    1_700_000_000.25,
    1_700_000_001.5,
    kind=Kind.CLIENT,
    attributes={"icelane.transceiver": "1/1.1", "http.response.status_code": 201},
    error="late",
    links=(CLIENT,),
)


async def test_a_span_arrives_as_it_was_given() -> None:
    with collecting() as collector:
        async with exporting(TracingConfig(collector.url + "/v1/traces"), "test", "1") as (
            tracer,
            export,
        ):
            tracer.emit(SPAN)
            tracer.emit(Span("first", CONTEXT, None, 1.0, 2.0))
        span, first = collector.spans
    assert (span.service, span.name, span.error) == ("test", "answer", "late")
    assert (span.trace, span.id, span.parent) == (
        *(CONTEXT.trace_id.hex(), CONTEXT.span_id.hex()),
        "01" * 8,
    )
    assert (span.start, span.end) == pytest.approx((SPAN.start, SPAN.end), abs=1e-6)
    assert span.attributes == SPAN.attributes
    assert span.links == [("77" * 16, "88" * 8)]
    assert (first.parent, first.links, first.error) == ("", [], "")
    assert export.counts() == {"sent": 2, "failed": 0, "dropped": 0}


async def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "voice")
    with collecting() as collector:
        async with exporting(TracingConfig(collector.url + "/v1/traces"), "test", "1") as (
            tracer,
            _,
        ):
            tracer.emit(SPAN)
    assert [each.service for each in collector.spans] == ["voice"]


async def test_a_collector_that_is_away_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")  # with another attempt in it
    monkeypatch.setattr(exporter, "EVERY", 0.01)
    export = Export(TracingConfig(f"http://127.0.0.1:{free_port()}/v1/traces"), "test", "1")
    for number in (1, 2):
        export.emit(SPAN)
        _wait(_failed(export, number))
    await export.close()
    assert export.counts() == {"sent": 0, "failed": 2, "dropped": 0}
    (line,) = _said(caplog)
    assert line.startswith("1 spans could not be sent; calls go on: ")
    assert "refused" in line
    # What the libraries say goes nowhere else; pytest hears it all the same.
    assert not logging.getLogger("opentelemetry").propagate


async def test_a_line_comes_again_after_a_while_with_what_was_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setattr(exporter, "EVERY", 0.01)
    now = [1000.0]
    config = TracingConfig(f"http://127.0.0.1:{free_port()}/v1/traces")
    export = Export(config, "test", "1", clock=lambda: now[0])
    for number, passes in enumerate((0.0, 59.0, 2.0), start=1):
        now[0] += passes
        export.emit(SPAN)
        _wait(_failed(export, number))
    await export.close()
    said = [each.split(";")[0] for each in _said(caplog)]
    assert said == ["1 spans could not be sent", "2 spans could not be sent"]


async def test_a_collector_that_hangs_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exporter, "EVERY", 0.01)
    monkeypatch.setattr(exporter, "CLOSING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        export = Export(TracingConfig(url), "test", "1")
        export.emit(SPAN)
        accepted, _ = silent.accept()
        with accepted:
            began = time.monotonic()
            for _ in range(exporter.MOST_WAITING + 50):
                export.emit(SPAN)
            took = time.monotonic() - began
            assert export.counts() == {"sent": 0, "failed": 0, "dropped": 50}
            began = time.monotonic()
            await export.close()
            closing = time.monotonic() - began
    assert took < 5.0  # 0.1 on a machine that is not busy
    assert 0.2 < closing < 5.0
    assert f"{exporter.MOST_WAITING + 1} spans were not sent in time" in caplog.text


def test_an_environment_that_makes_no_sense_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def older(endpoint: str) -> None:
        raise ValueError(f"tight is no compression for {endpoint}")  # newer ones warn

    monkeypatch.setattr(exporter, "OTLPSpanExporter", older)
    with pytest.raises(ConfigError, match=r"^what the environment's OTEL_\.\.\. say .*tight"):
        Export(TracingConfig("http://127.0.0.1:4318/v1/traces"), "test", "1")


async def test_what_cannot_be_made_costs_that_span() -> None:
    with collecting() as collector:
        async with exporting(TracingConfig(collector.url + "/v1/traces"), "test", "1") as (
            tracer,
            export,
        ):
            tracer.emit(Span("wrong", CONTEXT, None, float("nan"), 1.0))
            tracer.emit(SPAN)
    assert [each.name for each in collector.spans] == ["answer"]
    assert export.counts() == {"sent": 1, "failed": 0, "dropped": 1}


def _failed(export: Export, count: int) -> Callable[[], bool]:
    return lambda: export.counts()["failed"] == count


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == exporter.__name__]


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15.0
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)
