"""Setting calls up: how long it takes, and how many round trips; and how many calls a second."""

from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from relay.netns.host import Host
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.calls.calltestbed import CallPath, CallTestbed
from tests.bench.compare.calls.delayline import DelayLine
from tests.bench.compare.calls.loadprocess import CallTimes, LoadProcess
from tests.lab.errors import LabError

DELAY_MS = 25  # of the delay line, one way

_HOLD_SECONDS = 0.1  # that each call lasts, where many are placed
_SLACK_SECONDS = 30.0  # in which all calls have ended, or those that were begun last


class CallSetup:
    """One caller sets one call up after another: from the start of its offer on.

    It is measured without and with a delay line. What the line adds, divided by a round trip of
    it, is the number of round trips that a call needs.

    Args:
        path: Which way the calls take.
        calls: How many, each time; the first one does not count.
    """

    name = "call_setup"

    def __init__(self, path: CallPath, *, calls: int) -> None:
        self.system = path
        self._calls = calls

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or calls fail.
        """
        with self.system.testbed() as testbed:
            bare = self._times(testbed, testbed.client)
            with DelayLine(testbed.lab, DELAY_MS / 1000) as line:
                delayed = self._times(testbed, line.host)
        trip = 2 * DELAY_MS
        for milliseconds, times in ((0, bare), (trip, delayed)):
            yield from measurements(self.name, times, {"round_trip_ms": milliseconds})
        extra = delayed["first_audio_ms"] - bare["first_audio_ms"]
        yield Measurement(self.name, "round_trips", extra / trip)

    def _times(self, testbed: CallTestbed, host: Host) -> dict[str, float]:
        with LoadProcess(testbed, host, calls=self._calls) as load:
            load.finish(_SLACK_SECONDS)
            return typical(*load.results())


def typical(placed: Sequence[CallTimes], failed: Sequence[str]) -> dict[str, float]:
    """The median times of calls but the first one, which warms its process up, as metrics.

    Raises:
        LabError: A call failed, or there is none but the first one.
    """
    if failed:
        raise LabError(f"{len(failed)} calls failed: {failed[0]}")
    if len(placed) < 2:
        raise LabError("Two calls are needed: the first one does not count.")
    warm = placed[1:]
    return {
        "offer_ms": 1000 * median(each.offered - each.started for each in warm),
        "connected_ms": 1000 * median(each.connected - each.started for each in warm),
        "first_audio_ms": 1000 * median(each.first_audio - each.started for each in warm),
    }


class CallRate:
    """Many callers place calls as fast as they can.

    Args:
        path: Which way the calls take.
        callers: How many there are.
        seconds: How long they do.
        warm_up: Seconds in the beginning that do not count.
    """

    name = "call_rate"

    def __init__(
        self,
        path: CallPath,
        *,
        seconds: float,
        callers: int = 16,
        warm_up: float = 1.0,
    ) -> None:
        self.system = path
        self._callers = callers
        self._seconds = seconds
        self._warm_up = warm_up

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or no call is set up.
        """
        with (
            self.system.testbed() as testbed,
            LoadProcess(
                testbed, callers=self._callers, hold=_HOLD_SECONDS, window=self._seconds
            ) as load,
        ):
            load.finish(self._seconds + _SLACK_SECONDS)
            placed, failed = load.results()
        values = rate(placed, self._warm_up, self._seconds) | {"failed": len(failed)}
        yield from measurements(self.name, values, {"callers": self._callers})


def rate(placed: Sequence[CallTimes], warm_up: float, seconds: float) -> dict[str, float]:
    """Calls a second, and how long each took, as metrics.

    Args:
        placed: All calls of a run.
        warm_up: Seconds in its beginning that do not count.
        seconds: Seconds from its beginning to its end.

    Raises:
        LabError: No call counts.
    """
    begun = min((each.started for each in placed), default=0.0)
    counted = [each for each in placed if warm_up <= each.first_audio - begun < seconds]
    if len(counted) < 2:
        raise LabError("No calls were set up in time.")
    times = sorted(1000 * (each.first_audio - each.started) for each in counted)
    return {
        "calls_per_second": len(counted) / (seconds - warm_up),
        "p50_ms": median(times),
        "p99_ms": quantiles(times, n=100, method="inclusive")[-1],
    }
