"""Spans of a call's set-up in its transceiver."""

import os

import pytest

from relay.tracing.span import Kind, Span, Tracer, WallClock
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.tracecontext import RENAMED, TraceContext
from tests.randomness import seeded
from transceiver.callspans import CallSpans, Told

ROUTE = mint(
    Target(1, 5, 9), KeyRing.generate(os.urandom), now=0.0, lifetime=60.0, nonce=b"\1\2\3\4"
)
FIRST = TraceContext.of_route(ROUTE.raw)
ASKING = TraceContext(b"\x11" * 16, b"\x22" * 8)
CLOCK = WallClock(unix=1_000_000.0, monotonic=100.0)
STEPS = {
    "answer": 100.01,
    "first_check": 100.05,
    "nominated": 100.06,
    "dtls": 100.10,
    "first_audio": 100.12,
    "first_channel": 100.13,
    "first_sound": 100.14,
}


def told(
    moments: dict[str, float], request: Told | None = None, ended: str = "", now: float = 101.0
) -> list[Span]:
    made: list[Span] = []
    spans = CallSpans.of(Tracer(made.append, 1.0, seeded(1)), ROUTE.ufrag, request, CLOCK)
    assert spans is not None
    spans.tell(100.0, moments, now, ended)
    return made


def test_each_step_is_below_the_set_up_and_has_its_time() -> None:
    whole, *steps = told(STEPS, Told(ASKING, renamed=True))
    assert {each.context.trace_id for each in (whole, *steps)} == {FIRST.trace_id}
    assert (whole.name, whole.kind, whole.parent) == ("call set-up", Kind.SERVER, ASKING.span_id)
    assert {each.parent for each in steps} == {whole.context.span_id}
    times = {each.name: (each.start - 1e6, each.end - 1e6) for each in (whole, *steps)}
    expected = {
        "call set-up": (0.0, 0.14),
        "answer": (0.0, 0.01),
        "first check": (0.01, 0.05),
        "nomination": (0.05, 0.06),
        "DTLS": (0.05, 0.10),
        "sound from client": (0.10, 0.12),
        "sound to client": (0.10, 0.14),
        "channel": (0.10, 0.13),
    }
    assert times.keys() == expected.keys()
    for name, each in expected.items():
        assert times[name] == pytest.approx(each, abs=1e-6), name
    assert {each.error for each in (whole, *steps)} == {None}
    assert whole.attributes == {"icelane.transceiver": "1/5.9"}


def test_who_asks_without_our_trace_is_a_link() -> None:
    whole, *_ = told(STEPS, Told(ASKING, renamed=False))
    # The relay's spans are below this one, then.
    assert (whole.context, whole.parent, whole.links) == (FIRST, None, (ASKING,))


def test_without_signalings_trace_it_is_the_first() -> None:
    whole, *_ = told(STEPS)
    assert (whole.context, whole.parent, whole.links) == (FIRST, None, ())


def test_a_call_that_does_not_connect_says_why() -> None:
    checked = {"answer": 100.01, "first_check": 100.05}
    whole, *steps = told(checked, ended="dtls_failed", now=110.0)
    assert (whole.error, whole.end) == ("dtls_failed", 1_000_010.0)
    assert [each.name for each in steps] == ["answer", "first check"]
    assert told(checked)[0].error == "not_connected"
    assert told(STEPS, ended="hung_up")[0].error is None


def test_a_step_that_comes_before_another_takes_no_time() -> None:
    early = {**STEPS, "first_channel": 100.09}
    channel = next(each for each in told(early) if each.name == "channel")
    assert channel.start == channel.end


def test_a_call_that_is_not_sampled_has_no_spans() -> None:
    tracer = Tracer(lambda _: None, 0.0, seeded(1))
    assert CallSpans.of(tracer, ROUTE.ufrag, None, CLOCK) is None


def test_headers_are_read() -> None:
    headers = {"traceparent": ASKING.header, "tracestate": RENAMED}
    assert Told.read(headers) == Told(ASKING, renamed=True)
    assert Told.read({"traceparent": ASKING.header}) == Told(ASKING, renamed=False)
    assert Told.read({"tracestate": RENAMED}) is None
    assert Told.read({}) is None
