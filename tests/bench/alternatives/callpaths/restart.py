"""A restart of what clients send their media to: what calls that are up see of it."""

import time
from collections import Counter
from collections.abc import Iterator

from relay.caller.rtp import RtpCounter
from tests.bench.alternatives.callpaths.incalls import CALL_SECONDS, wait_until_all_placed
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.calls.calltestbed import CallPath
from tests.bench.compare.calls.loadprocess import LoadProcess
from tests.bench.compare.calls.rtpcapture import destination_port, rtp_offset, source_port
from tests.lab.capture import FrameCapture
from tests.lab.errors import LabError

ALIVE_SECONDS = 1.0  # a call that has had no packet for so long in the end is over

_BEFORE_SECONDS = 1.0
_EDGE = 1  # packets of a call that may be under way when listening ends
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
                wait_until_all_placed(load, self._calls)
                heard = Heard()
                with FrameCapture(testbed.client, testbed.interfaces[0], heard.take):
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
        values = heard.aftermath(ended) | {"back_ms": 1000 * back}
        yield from measurements(self.name, values, {"calls": self._calls})


class Heard:
    """What comes back to a client's host of what it sends. Pure.

    Calls are told apart by the client's port. The transceiver sends a packet for each that comes.
    """

    def __init__(self) -> None:
        self._calls: dict[int, RtpCounter] = {}
        self._last: dict[int, float] = {}
        self._sent: Counter[int] = Counter()

    def take(self, frame: bytes, now: float, outgoing: bool) -> None:
        """Take a frame; what is no audio is left out.

        Args:
            frame: The frame, from its Ethernet header on.
            now: When it passed, in seconds.
            outgoing: Whether it left the host.
        """
        rtp = rtp_offset(frame)
        if rtp is None:
            return
        if outgoing:
            self._sent[source_port(frame)] += 1
        else:
            port = destination_port(frame)
            self._calls.setdefault(port, RtpCounter()).add(frame[rtp:], now)
            self._last[port] = now

    def aftermath(self, ended: float) -> dict[str, float]:
        """What became of the calls, as metrics.

        Args:
            ended: When listening ended, in seconds.

        Raises:
            LabError: Nothing was heard at all.
        """
        if not self._calls:
            raise LabError("No call had packets.")
        alive = {
            port: call
            for port, call in self._calls.items()
            if ended - self._last[port] < ALIVE_SECONDS
        }
        values = {"alive_percent": 100 * len(alive) / len(self._calls)}
        if alive:
            lost = (self._sent[port] - call.packets - _EDGE for port, call in alive.items())
            values["lost"] = sum(max(0, each) for each in lost) / len(alive)
            values["pause_ms"] = 1000 * max(call.longest_pause for call in alive.values())
        return values
