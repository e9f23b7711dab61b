"""A restart of what clients send their media to: what calls that are up see of it."""

import time
from collections.abc import Iterator, Sequence

from tests.bench.alternatives.callpaths.incalls import CALL_SECONDS
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.capacity import wait_until_placed
from tests.bench.compare.calls.calltestbed import CallPath
from tests.bench.compare.calls.loadprocess import LoadProcess
from tests.bench.compare.calls.rtpcapture import RtpCapture, RtpStats
from tests.lab.capture import FrameCapture
from tests.lab.errors import LabError

ALIVE_SECONDS = 1.0  # a call that has had no packet for so long in the end is over

_BEFORE_SECONDS = 1.0
_AFTER_CALL_SECONDS = 15.0  # for a call to be set up afterwards


class Restart:
    """The process is killed without warning, and started again at once.

    Args:
        path: Which way the calls take.
        calls: How many are up.
        seconds: How long they are watched after the process is back. Clients check their path
            every five seconds, and some servers learn of them again by that.
    """

    name = "restart"

    def __init__(self, path: CallPath, *, calls: int, seconds: float) -> None:
        self.system = path
        self._calls = calls
        self._seconds = seconds

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or calls cannot be placed.
        """
        with self.system.testbed() as testbed:
            with LoadProcess(testbed, callers=self._calls, hold=CALL_SECONDS) as load:
                wait_until_placed([load], self._calls)
                if len(load.results()[0]) < self._calls:
                    raise LabError(f"Not all of {self._calls} calls were placed.")
                capture = RtpCapture(time.time())
                with FrameCapture(testbed.client, testbed.interfaces[0], capture.take):
                    time.sleep(_BEFORE_SECONDS)
                    killed = time.monotonic()
                    testbed.kill_middle()
                    testbed.start_middle()
                    back = time.monotonic() - killed
                    time.sleep(self._seconds)
                    ended = time.time()
            with LoadProcess(testbed, calls=1) as load:
                load.finish(_AFTER_CALL_SECONDS)
                placed, failed = load.results()
            if not placed:
                raise LabError(f"No call can be placed afterwards: {failed[0]}")
        values = aftermath(tuple(capture.calls.values()), ended) | {"back_ms": 1000 * back}
        yield from measurements(self.name, values, {"calls": self._calls})


def aftermath(calls: Sequence[RtpStats], ended: float) -> dict[str, float]:
    """What became of calls, as metrics.

    Args:
        calls: Their packets, from before the restart.
        ended: When watching them ended.

    Raises:
        LabError: There were none.
    """
    if not calls:
        raise LabError("No call had packets.")
    alive = [each for each in calls if ended - each.last < ALIVE_SECONDS]
    values = {"alive_percent": 100 * len(alive) / len(calls)}
    if alive:
        values["pause_ms"] = 1000 * max(each.pause for each in alive)
    return values
