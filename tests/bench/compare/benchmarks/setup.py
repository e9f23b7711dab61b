"""Setting calls up: how long it takes, and how many round trips; and how many calls a second."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from relay.netns.host import Host
from tests.bench.compare.calls.callers import Callers, Placed
from tests.bench.compare.calls.delayline import LongLine
from tests.bench.compare.calls.stage import Stage, Way
from tests.bench.compare.model import Measurement
from tests.lab.errors import LabError

_SLACK_SECONDS = 30.0  # in which all calls have ended, or those that were begun last


class SetUp:
    """One caller sets one call up after another: from the start of its offer on.

    It is asked on the bare lab, and over a long line. What the line adds, divided by a round trip
    of it, is the number of round trips that a call needs.

    Args:
        way: Which way the calls take.
        calls: How many, each time; the first one does not count.
        delay: Milliseconds that the long line takes, one way.
    """

    name = "set_up"

    def __init__(self, way: Way, *, calls: int = 10, delay: int = 25) -> None:
        self.contestant = way.value
        self._way = way
        self._calls = calls
        self._delay = delay

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return self._way.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or calls fail.
        """
        with Stage(self._way) as stage:
            bare = self._times(stage, stage.client)
            with LongLine(stage.lab, self._delay / 1000) as line:
                long = self._times(stage, line.host)
        trip = 2 * self._delay
        for milliseconds, times in ((0, bare), (trip, long)):
            parameters: dict[str, int | str] = {"round_trip_ms": milliseconds}
            yield self._measurement("offer_ms", times.offered, parameters)
            yield self._measurement("connected_ms", times.connected, parameters)
            yield self._measurement("first_audio_ms", times.heard, parameters)
        yield self._measurement("round_trips", (long.heard - bare.heard) / trip, {})

    def _measurement(
        self, metric: str, value: float, parameters: dict[str, int | str]
    ) -> Measurement:
        return Measurement(self.name, self.contestant, metric, value, parameters)

    def _times(self, stage: Stage, host: Host) -> "Times":
        with Callers(stage, host, calls=self._calls) as callers:
            callers.finish(_SLACK_SECONDS)
            return typical(*callers.told())


@dataclass(frozen=True, slots=True)
class Times:
    """How long the steps of a typical call take, in milliseconds from its beginning.

    Attributes:
        offered: Until the offer is complete.
        connected: Until DTLS is complete.
        heard: Until the first audio comes back.
    """

    offered: float
    connected: float
    heard: float


def typical(placed: Sequence[Placed], failed: Sequence[str]) -> Times:
    """The median times of calls but the first one, which warms its process up.

    Raises:
        LabError: A call failed, or there is none but the first one.
    """
    if failed:
        raise LabError(f"{len(failed)} calls failed: {failed[0]}")
    if len(placed) < 2:
        raise LabError("Two calls are needed: the first one does not count.")
    warm = placed[1:]
    return Times(
        offered=1000 * median(each.offered - each.begun for each in warm),
        connected=1000 * median(each.connected - each.begun for each in warm),
        heard=1000 * median(each.heard - each.begun for each in warm),
    )


class CallRate:
    """Many callers place calls as fast as they can.

    Args:
        way: Which way the calls take.
        callers: How many there are.
        seconds: How long they do.
        warm_up: Seconds in the beginning that do not count.
        hold: Seconds that each call lasts.
    """

    name = "call_rate"

    def __init__(
        self,
        way: Way,
        *,
        callers: int = 16,
        seconds: float = 4.0,
        warm_up: float = 1.0,
        hold: float = 0.1,
    ) -> None:
        self.contestant = way.value
        self._way = way
        self._callers = callers
        self._seconds = seconds
        self._warm_up = warm_up
        self._hold = hold

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return self._way.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or no call is set up.
        """
        with (
            Stage(self._way) as stage,
            Callers(stage, callers=self._callers, hold=self._hold, window=self._seconds) as callers,
        ):
            callers.finish(self._seconds + _SLACK_SECONDS)
            placed, failed = callers.told()
        parameters: dict[str, int | str] = {"callers": self._callers}
        values = rate(placed, self._warm_up, self._seconds) | {"failed": len(failed)}
        for metric, value in values.items():
            yield Measurement(self.name, self.contestant, metric, value, parameters)


def rate(placed: Sequence[Placed], warm_up: float, seconds: float) -> dict[str, float]:
    """Calls a second, and how long each took, as metrics.

    Args:
        placed: All calls of a run.
        warm_up: Seconds in its beginning that do not count.
        seconds: Seconds from its beginning to its end.

    Raises:
        LabError: No call counts.
    """
    begun = min((each.begun for each in placed), default=0.0)
    counted = [each for each in placed if warm_up <= each.heard - begun < seconds]
    if len(counted) < 2:
        raise LabError("No calls were set up in time.")
    times = sorted(1000 * (each.heard - each.begun) for each in counted)
    return {
        "calls_per_second": len(counted) / (seconds - warm_up),
        "p50_ms": median(times),
        "p99_ms": quantiles(times, n=100, method="inclusive")[-1],
    }
