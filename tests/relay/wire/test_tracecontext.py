"""The ids of traces, and W3C's headers."""

import pytest

from relay.wire.tracecontext import RENAMED, TraceContext, is_renamed, is_sampled

ROUTE = bytes(range(21))
# The example of Trace Context, section 3.2.3.
EXAMPLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_ids_are_a_hash_of_the_route() -> None:
    one = TraceContext.of_route(ROUTE)
    assert one == TraceContext.of_route(ROUTE)
    # A vector: services of several releases make one trace.
    assert one.header == "00-ae8ee8e6d3ae3c8074b46f4835b66085-dd4f72d8f574a759-01"
    other = TraceContext.of_route(ROUTE[:-1] + b"\0")
    assert one.trace_id != other.trace_id
    assert one.span_id != other.span_id


def test_a_header_is_read_and_written() -> None:
    context = TraceContext.parse(EXAMPLE)
    assert context is not None
    assert context.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert context.span_id.hex() == "00f067aa0ba902b7"
    assert context.header == EXAMPLE


def test_a_later_version_may_have_more() -> None:
    assert TraceContext.parse(EXAMPLE.replace("00-", "cc-", 1) + "-what") is not None
    assert TraceContext.parse(EXAMPLE.replace("00-", "cc-", 1)) is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "01",
        EXAMPLE.upper(),
        EXAMPLE + "-what",
        EXAMPLE + "x",
        EXAMPLE + "\n",
        EXAMPLE.replace("00-", "ff-", 1),
        EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        EXAMPLE.replace("00f067aa0ba902b7", "0" * 16),
        EXAMPLE.replace("4bf9", "\u0664bf9"),
        EXAMPLE.replace("00-", "cc-", 1) + "-" + "x" * 600,
    ],
)
def test_what_is_no_header_is_none(header: str | None) -> None:
    assert TraceContext.parse(header) is None


@pytest.mark.parametrize(
    ("tracestate", "renamed"),
    [
        (RENAMED, True),
        (f"other=1, {RENAMED}", True),
        (None, False),
        ("", False),
        ("icelane=else", False),
        (f"x{RENAMED}", False),
        ("a=1," * 200 + RENAMED, False),  # longer than one has to be read
    ],
)
def test_signaling_of_ours_says_so(tracestate: str | None, *, renamed: bool) -> None:
    assert is_renamed(tracestate) is renamed


def test_a_ratio_takes_its_share_and_each_lower_one_less() -> None:
    ids = [TraceContext.of_route(number.to_bytes(21)).trace_id for number in range(2000)]
    assert all(is_sampled(each, 1.0) for each in ids)
    assert not any(is_sampled(each, 0.0) for each in ids)
    tenth = {each for each in ids if is_sampled(each, 0.1)}
    half = {each for each in ids if is_sampled(each, 0.5)}
    assert 150 < len(tenth) < 250
    assert 900 < len(half) < 1100
    assert tenth < half


def test_a_ratio_is_that_of_opentelemetry() -> None:
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    ids = [TraceContext.of_route(number.to_bytes(21)).trace_id for number in range(500)]
    theirs = sampling.TraceIdRatioBased(0.3)
    for each in ids:
        decision = theirs.should_sample(None, int.from_bytes(each), "").decision
        assert decision.is_sampled() == is_sampled(each, 0.3)
