"""Spans of flows, as a real session table tells of them."""

from collections.abc import Iterator

import pytest

from relay.core.limits import Limits
from relay.run.flowspans import FlowSpans
from relay.tracing.span import Span, Tracer
from relay.wire.route import read_ufrag
from relay.wire.tracecontext import TraceContext
from tests.randomness import seeded
from tests.relay.conftest import ALICE, FIRST, SECOND, VIP, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene(limits=Limits(pending_life=10.0, address_kept=15.0))


@pytest.fixture
def spans(scene: Scene) -> Iterator[list[Span]]:
    """Those of the scene's flows, all of them."""
    made: list[Span] = []
    with scene.table.events.told_to(listener(made).hear):
        yield made


def listener(made: list[Span], ratio: float = 1.0) -> FlowSpans:
    return FlowSpans(Tracer(made.append, ratio, seeded(1)), lambda: "xdp")


def ufrag_trace(scene: Scene) -> TraceContext:
    return TraceContext.of_route(read_ufrag(scene.ufrag()).raw)


def test_a_flow_is_told_of_once_the_dataplane_has_it(scene: Scene, spans: list[Span]) -> None:
    first = ufrag_trace(scene)
    began = scene.now.unix
    scene.client(scene.request())
    assert spans == []
    scene.wait(0.25)
    scene.connect()
    whole, pending, install = spans
    assert [each.name for each in spans] == ["flow set-up", "pending", "install"]
    assert {each.context.trace_id for each in spans} == {first.trace_id}
    assert whole.parent == first.span_id
    assert pending.parent == install.parent == whole.context.span_id
    assert len({each.context.span_id for each in spans} | {first.span_id}) == 4
    assert (pending.start, pending.end) == (whole.start, install.start) == (began, began + 0.25)
    assert install.end == whole.end == began + 0.25
    assert {each.error for each in spans} == {None}
    assert whole.attributes == {
        "icelane.transceiver": str(FIRST),
        "icelane.dataplane": "xdp",
        "network.transport": "udp",
    }


def test_a_flow_that_nobody_answers_says_why_it_went(scene: Scene, spans: list[Span]) -> None:
    scene.client(scene.request())
    scene.wait(11)
    scene.done(scene.table.sweep(scene.now))
    assert [(each.name, each.error) for each in spans] == [
        ("flow set-up", "pending_expired"),
        ("pending", "pending_expired"),
    ]
    assert spans[0].end - spans[0].start == pytest.approx(11)


def test_the_end_of_a_flow_that_was_set_up_is_no_news(scene: Scene, spans: list[Span]) -> None:
    scene.connect()
    before = len(spans)
    scene.wait(scene.table.limits.idle + 1)
    scene.done(scene.table.sweep(scene.now))
    assert len(spans) == before == 3


def test_another_session_of_the_client_has_a_trace_of_its_own(
    scene: Scene, spans: list[Span]
) -> None:
    scene.connect()
    scene.wait(16)
    scene.connect(ALICE, SECOND)
    assert len({each.context.trace_id for each in spans}) == 2
    assert [each.error for each in spans] == [None] * 6


def test_a_call_that_is_not_sampled_costs_no_span(scene: Scene) -> None:
    made: list[Span] = []
    with scene.table.events.told_to(listener(made, 0.0).hear):
        scene.connect()
    assert made == []


def test_times_do_not_jump_with_the_clock(scene: Scene, spans: list[Span]) -> None:
    scene.client(scene.request())
    scene.now = scene.now._replace(monotonic=scene.now.monotonic + 1, unix=5.0)
    scene.done(scene.table.lifecycle.close(scene.flow(ALICE, FIRST).addresses, scene.now))
    assert spans[0].end - spans[0].start == pytest.approx(1.0)


def test_nothing_that_it_tells_has_an_address_or_a_ufrag(scene: Scene, spans: list[Span]) -> None:
    scene.connect()
    said = repr([(each.name, each.attributes, each.error) for each in spans])
    assert not [
        each for each in (scene.ufrag(), ALICE.host, VIP.host, str(ALICE.port)) if each in said
    ]
