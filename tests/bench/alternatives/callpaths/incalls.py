"""Calls that are up: how long audio takes from host to host, and what the middle costs."""

import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles

from tests.bench.alternatives.callpaths.passage import Packet, Way
from tests.bench.alternatives.servers.atscale import count_sockets, udp_listing
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.capacity import wait_until_placed
from tests.bench.compare.calls.calltestbed import CallPath, CallTestbed
from tests.bench.compare.calls.loadprocess import LoadProcess
from tests.bench.compare.calls.rtpcapture import rtp_offset
from tests.lab.capture import FrameCapture
from tests.lab.config import VIP
from tests.lab.errors import LabError
from tests.lab.topology import RELAY, TRANSCEIVER

CALL_SECONDS = 600.0  # longer than any measurement; calls are ended

_SETTLE_SECONDS = 1.0  # from the last call's set-up on
_LEAST = 20  # packets each way
_NAMES = struct.Struct("!II")  # timestamp and SSRC, from byte 4 on (RFC 3550, section 5.1)


class InCalls:
    """Packets of calls that are seen twice: in the client's host, and in the transceiver's.

    Args:
        path: Which way the calls take.
        calls: How many are up.
        seconds: How long they are watched.
    """

    name = "in_calls"

    def __init__(self, path: CallPath, *, calls: int, seconds: float) -> None:
        self.system = path
        self._calls = calls
        self._seconds = seconds

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or no packets pass.
        """
        with self.system.testbed() as testbed:
            host = testbed.lab.hosts[TRANSCEIVER if self.system.direct else RELAY]
            unused = count_sockets(udp_listing(host), VIP)["sockets"]
            with LoadProcess(testbed, callers=self._calls, hold=CALL_SECONDS) as load:
                wait_until_all_placed(load, self._calls)
                time.sleep(_SETTLE_SECONDS)
                pid = testbed.pids()[testbed.middle]
                before = processor_seconds(pid)
                values = self._watch(testbed).figures()
                used = processor_seconds(pid) - before
                sockets = count_sockets(udp_listing(host), VIP)["sockets"] - unused
        values["sockets_per_call"] = sockets / self._calls
        if not self.system.direct:  # there, the transceiver is what clients send to
            values["us_per_packet"] = 1e6 * used / values["packets"]
            values["percent_per_call"] = 100 * used / self._seconds / self._calls
        yield from measurements(self.name, values, {"calls": self._calls})

    def _watch(self, testbed: CallTestbed) -> "Watch":
        near, far = testbed.interfaces
        watch = Watch()
        with (
            FrameCapture(testbed.client, near, watch.at_client),
            FrameCapture(testbed.lab.hosts[TRANSCEIVER], far, watch.at_transceiver),
        ):
            time.sleep(self._seconds)
        return watch


def wait_until_all_placed(load: LoadProcess, calls: int) -> None:
    """Wait until all calls of a load generator are up.

    Raises:
        LabError: Some are not in time.
    """
    wait_until_placed([load], calls)
    placed, failed = load.results()
    if len(placed) < calls:
        raise LabError(
            f"Of {calls} calls {len(placed)} were placed: {(failed or ['no answer'])[0]}"
        )


class Watch:
    """Frames of both hosts, as the packets of audio that they are."""

    def __init__(self) -> None:
        self.to_transceiver, self.to_client = Way(), Way()

    def at_client(self, frame: bytes, now: float, outgoing: bool) -> None:
        """Take a frame of the client's host."""
        _take(frame, now, self.to_transceiver.sent if outgoing else self.to_client.received)

    def at_transceiver(self, frame: bytes, now: float, outgoing: bool) -> None:
        """Take a frame of the transceiver's host."""
        _take(frame, now, self.to_client.sent if outgoing else self.to_transceiver.received)

    def figures(self) -> dict[str, float]:
        """The delays, and how many packets were seen at both ends, as metrics.

        Raises:
            LabError: There were too few.
        """
        ways = (self.to_transceiver.delays(), self.to_client.delays())
        if min(map(len, ways)) < _LEAST:
            raise LabError("Hardly any audio was seen at both ends.")
        tails = (quantiles(delays, n=100, method="inclusive")[-1] for delays in ways)
        return {
            "packets": sum(map(len, ways)),
            "both_ways_us": 1e6 * sum(map(median, ways)),
            "both_ways_p99_us": 1e6 * sum(tails),
        }


def _take(frame: bytes, now: float, seen: list[Packet]) -> None:
    rtp = rtp_offset(frame)
    if rtp is not None:
        timestamp, stream = _NAMES.unpack_from(frame, rtp + 4)
        seen.append(Packet(now, stream, timestamp, len(frame) - rtp))


def processor_seconds(pid: int) -> float:
    """The processor time of all threads that a process has, in steps of a nanosecond."""
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
    return nanoseconds / 1e9
