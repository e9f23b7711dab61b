"""How calls are set up, on each path, and what is made of it."""

import pytest

from tests.bench.compare.benchmarks.callsetup import (
    DELAY_MS,
    CallRate,
    CallSetup,
    rate,
    typical,
)
from tests.bench.compare.calls.calltestbed import CALL_PATHS, DIRECT, TURN, CallPath
from tests.bench.compare.calls.loadprocess import CallTimes
from tests.lab.errors import LabError

ICELANE = CALL_PATHS[2]  # in userspace


def placed(started: float, first_audio: float) -> CallTimes:
    middle = (started + first_audio) / 2
    return CallTimes(started, started, answered=middle, connected=middle, first_audio=first_audio)


def test_the_first_call_warms_up_and_does_not_count() -> None:
    calls = [placed(0, 9), placed(10, 10.2), placed(11, 11.4), placed(12, 12.3)]
    assert typical(calls, []) == pytest.approx(
        {"offer_ms": 0, "connected_ms": 150, "first_audio_ms": 300}
    )


@pytest.mark.parametrize(
    ("calls", "failed", "text"),
    [([placed(0, 1)], [], "Two calls"), ([placed(0, 1)] * 3, ["refused"], "refused")],
)
def test_no_times_without_calls(calls: list[CallTimes], failed: list[str], text: str) -> None:
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


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("path", "least"),
    [
        # Offer and answer, a check, and two of DTLS.
        (DIRECT, 4),
        (ICELANE, 4),
        # An allocation with the error that tells the nonce, and a channel besides.
        (TURN, 6),
    ],
)
def test_a_delay_line_is_crossed_as_often_as_protocols_need(path: CallPath, least: int) -> None:
    benchmark = CallSetup(path, calls=2)
    if reason := path.missing():
        pytest.skip(reason)
    measured = {
        (each.metric, each.parameters.get("round_trip_ms")): each.value
        for each in benchmark.measure()
    }
    assert measured["first_audio_ms", 2 * DELAY_MS] >= least * 2 * DELAY_MS
    assert measured["connected_ms", 0] < measured["first_audio_ms", 0]
    assert measured["round_trips", None] > 0


@pytest.mark.e2e
@pytest.mark.bpf
def test_many_calls_are_set_up_at_a_time() -> None:
    benchmark = CallRate(CALL_PATHS[1], callers=4, seconds=1.5, warm_up=0.5)
    measured = {each.metric: each.value for each in benchmark.measure()}
    assert measured["failed"] == 0
    assert measured["calls_per_second"] > 0
