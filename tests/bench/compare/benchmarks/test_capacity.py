"""Concurrent calls, and how one sees that there are too many."""

import pytest

from tests.bench.compare.benchmarks.capacity import Capacity, groups, lost, suffers
from tests.bench.compare.calls.calltestbed import CALL_PATHS, CallPath
from tests.bench.compare.calls.rtpcapture import RtpStats


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (RtpStats(last=0, sent=200, received=200), 0),
        (RtpStats(last=0, sent=201, received=200), 0),  # under way
        (RtpStats(last=0, sent=200, received=149), 0.25),
        (RtpStats(last=0), 1),
    ],
)
def test_the_lost_part(call: RtpStats, part: float) -> None:
    assert lost(call) == part


GOOD = RtpStats(last=0, sent=200, received=200, pause=0.04)


@pytest.mark.parametrize(
    ("seen", "bad"),
    [
        ([GOOD, GOOD], False),
        ([GOOD], True),
        ([GOOD, RtpStats(last=0, sent=200, received=190, pause=0.04)], True),
        ([GOOD, RtpStats(last=0, sent=200, received=200, pause=0.07)], True),
    ],
    ids=["good", "one has no packets", "lost", "pause"],
)
def test_audio_suffers_in_one_of_two_calls(seen: list[RtpStats], bad: bool) -> None:
    assert suffers(seen, calls=2) is bad


def test_processes_hold_a_few_calls_each() -> None:
    assert groups(0) == []
    assert groups(3) == [3]
    assert groups(20) == [8, 8, 4]


@pytest.mark.e2e
@pytest.mark.parametrize("path", CALL_PATHS, ids=lambda path: path.name)
def test_calls_are_held_and_seen(path: CallPath) -> None:
    benchmark = Capacity(path, steps=(1, 2), seconds=1.0)
    if reason := path.missing():
        pytest.skip(reason)
    measured = {
        (each.metric, each.parameters.get("calls")): each.value for each in benchmark.measure()
    }
    assert measured["calls_seen", 1] == 1
    assert measured["calls_seen", 2] == 2
    assert measured["cpu_transceiver_percent", 2] > 0
    assert measured["calls", None] in {0, 1, 2}  # the machine may be busy
