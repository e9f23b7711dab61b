"""Spans of an offer in signaling."""

import os

import pytest

from relay.tracing.span import Kind, Span, Tracer, WallClock
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.tracecontext import RENAMED, TraceContext, is_renamed
from signaling.offerspans import OfferSpans
from tests.randomness import seeded

ROUTE = mint(
    Target(1, 5, 9), KeyRing.generate(os.urandom), now=0.0, lifetime=60.0, nonce=b"\1\2\3\4"
)
FIRST = TraceContext.of_route(ROUTE.raw)
ANSWER = f"v=0\r\na=ice-ufrag:{ROUTE.ufrag}\r\na=ice-pwd:x\r\n"
CLIENT = TraceContext(b"\x11" * 16, b"\x22" * 8)
PATH = "/v1/realtime/calls"


class Offer:
    """An offer whose time goes on by 0.1 s with each look at it."""

    def __init__(self, client: TraceContext | None = None, ratio: float = 1.0) -> None:
        self.made: list[Span] = []
        self._now = 100.0
        clock = WallClock(unix=1_000_000.0, monotonic=100.1)
        self.spans = OfferSpans(Tracer(self.made.append, ratio, seeded(1)), clock, self.now, client)

    def now(self) -> float:
        self._now += 0.1
        return self._now


def test_an_offer_that_the_second_transceiver_takes() -> None:
    offer = Offer(CLIENT)
    told = []
    with offer.spans.placing():
        for number, transceiver in enumerate(("1/5.9", "1/6.1")):
            try:
                with offer.spans.asking(transceiver) as headers:
                    told.append(headers)
                    if number == 0:
                        raise ConnectionError  # noqa: TRY301  # as a control API that is away
            except ConnectionError:
                pass
    offer.spans.answered(ANSWER)
    assert offer.made == []
    offer.spans.close(PATH, 201)
    first, *below = offer.made
    assert (first.context, first.parent, first.links) == (FIRST, None, (CLIENT,))
    assert (first.name, first.kind, first.error) == (f"POST {PATH}", Kind.SERVER, None)
    assert first.attributes["http.response.status_code"] == 201
    by_name = {each.name: each for each in below}
    placement = by_name["placement"]
    asked = [each for each in below if each.kind is Kind.CLIENT]
    assert placement.parent == FIRST.span_id
    assert [each.parent for each in asked] == [placement.context.span_id] * 2
    assert [each.error for each in asked] == ["ConnectionError", None]
    assert [each.attributes["icelane.transceiver"] for each in asked] == ["1/5.9", "1/6.1"]
    assert {each.context.trace_id for each in offer.made} == {FIRST.trace_id}
    # A transceiver knows its span's parent before anybody knows the trace.
    named = [TraceContext.parse(headers["traceparent"]) for headers in told]
    assert [each and each.span_id for each in named] == [each.context.span_id for each in asked]
    assert all(is_renamed(headers["tracestate"]) for headers in told)
    assert told[0]["tracestate"] == RENAMED
    assert first.start < placement.start < asked[0].start < asked[0].end < asked[1].start
    assert asked[1].end < placement.end < first.end
    assert first.start == pytest.approx(1_000_000.0)


def test_an_offer_that_nobody_takes_has_a_trace_of_its_own() -> None:
    offer = Offer()
    with pytest.raises(ValueError, match="nobody"), offer.spans.placing():
        raise ValueError("nobody")
    offer.spans.close(PATH, 503)
    first, placement = offer.made
    assert first.context.trace_id == placement.context.trace_id != FIRST.trace_id
    assert (first.error, placement.error) == ("503", "ValueError")
    assert placement.parent == first.context.span_id


def test_a_request_that_is_refused_before_is_no_set_up() -> None:
    offer = Offer()
    offer.spans.close(PATH, 401)
    assert offer.made == []


def test_a_call_that_is_not_sampled_costs_no_span() -> None:
    offer = Offer(ratio=0.0)
    with offer.spans.placing(), offer.spans.asking("1/5.9"):
        pass
    offer.spans.answered(ANSWER)
    offer.spans.close(PATH, 201)
    assert offer.made == []


@pytest.mark.parametrize("answer", ["", "v=0\r\n", "v=0\r\na=ice-ufrag:short\r\n"])
def test_the_answer_of_a_strange_transceiver_leaves_the_trace_as_it_is(answer: str) -> None:
    offer = Offer()
    with offer.spans.placing():
        offer.spans.answered(answer)
    offer.spans.close(PATH, 201)
    assert len({each.context.trace_id for each in offer.made}) == 1
