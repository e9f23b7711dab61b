"""What becomes of calls when what they go through is killed."""

import pytest

from tests.bench.alternatives.callpaths.restart import Restart, aftermath
from tests.bench.compare.calls.calltestbed import DIRECT, CallPath
from tests.bench.compare.calls.rtpcapture import RtpStats
from tests.lab.errors import LabError

XDP = CallPath("icelane xdp", "xdp")


def test_the_pause_is_that_of_calls_that_go_on() -> None:
    over, alive = RtpStats(last=10.0, pause=0.5), RtpStats(last=19.9, pause=0.04)
    assert aftermath([over, alive], ended=20.0) == {"alive_percent": 50, "pause_ms": 40}


def test_where_no_call_goes_on_there_is_no_pause() -> None:
    assert aftermath([RtpStats(last=10.0)], ended=20.0) == {"alive_percent": 0}


def test_nothing_became_of_no_calls() -> None:
    with pytest.raises(LabError, match="No call"):
        aftermath([], ended=20.0)


@pytest.mark.e2e
@pytest.mark.bpf
@pytest.mark.parametrize(("path", "alive"), [(XDP, 100), (DIRECT, 0)])
def test_calls_end_with_the_service_that_has_them(path: CallPath, alive: int) -> None:
    figures = {each.metric: each.value for each in Restart(path, calls=2, seconds=1.5).measure()}
    assert figures["alive_percent"] == alive
    assert figures["back_ms"] > 0
