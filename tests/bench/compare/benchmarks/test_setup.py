"""How calls are set up, through each way, and what is made of it."""

import pytest

from tests.bench.compare.benchmarks.setup import CallRate, SetUp, rate, typical
from tests.bench.compare.calls.callers import Placed, read_told
from tests.bench.compare.calls.stage import Way
from tests.lab.errors import LabError

DELAY = 25  # ms, one way


def placed(begun: float, heard: float) -> Placed:
    middle = (begun + heard) / 2
    return Placed(begun, offered=begun, answered=middle, connected=middle, heard=heard)


def test_the_first_call_warms_up_and_does_not_count() -> None:
    calls = [placed(0, 9), placed(10, 10.2), placed(11, 11.4), placed(12, 12.3)]
    times = typical(calls, [])
    assert (times.offered, times.connected, times.heard) == pytest.approx((0, 150, 300))


@pytest.mark.parametrize(
    ("calls", "failed", "text"),
    [([placed(0, 1)], [], "Two calls"), ([placed(0, 1)] * 3, ["refused"], "refused")],
)
def test_no_times_without_calls(calls: list[Placed], failed: list[str], text: str) -> None:
    with pytest.raises(LabError, match=text):
        typical(calls, failed)


def test_a_rate_counts_the_calls_between_warm_up_and_end() -> None:
    calls = [placed(100 + n / 10, 100 + n / 10 + 0.05) for n in range(40)]
    assert rate(calls, warm_up=1, seconds=3) == pytest.approx(
        {"calls_per_second": 10, "p50_ms": 50, "p99_ms": 50}
    )


def test_a_rate_of_nothing_is_an_error() -> None:
    with pytest.raises(LabError, match="No calls"):
        rate([placed(100, 100.5)], warm_up=1, seconds=3)


def test_what_callers_tell_is_read() -> None:
    line = '{"begun": 1, "offered": 2, "answered": 3, "connected": 4, "heard": 5}'
    assert read_told(f'{line}\n{{"error": "refused"}}\n') == ([Placed(1, 2, 3, 4, 5)], ["refused"])


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("way", "least"),
    [
        # Offer and answer, a check, and two of DTLS.
        (Way.DIRECT, 4),
        (Way.USERSPACE, 4),
        # An allocation with the error that tells the nonce, and a channel besides.
        (Way.TURN, 6),
    ],
)
def test_a_long_line_is_crossed_as_often_as_protocols_need(way: Way, least: int) -> None:
    question = SetUp(way, calls=2, delay=DELAY)
    if reason := question.missing():
        pytest.skip(reason)
    measured = {
        (each.metric, each.parameters.get("round_trip_ms")): each.value for each in question.ask()
    }
    assert measured["first_audio_ms", 2 * DELAY] >= least * 2 * DELAY
    assert measured["connected_ms", 0] < measured["first_audio_ms", 0]
    assert measured["round_trips", None] > 0


@pytest.mark.e2e
@pytest.mark.bpf
def test_many_calls_are_set_up_at_a_time() -> None:
    question = CallRate(Way.XDP, callers=4, seconds=1.5, warm_up=0.5)
    measured = {each.metric: each.value for each in question.ask()}
    assert measured["failed"] == 0
    assert measured["calls_per_second"] > 0
