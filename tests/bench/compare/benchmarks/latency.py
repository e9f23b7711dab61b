"""How long packets take: each way, and there and back; alone, and among others."""

from collections.abc import Iterator, Sequence

from tests.bench.compare.benchmarks.benchmark import Measurement, Parameters, measurements
from tests.bench.compare.benchmarks.forwarding import PAYLOAD
from tests.bench.compare.benchmarks.rate import warm_up
from tests.bench.compare.testbed.system import Direction, RunningSystem
from tests.bench.compare.testbed.testbed import SENDER_CORE, Testbed
from tests.bench.compare.traffic.affinity import pinned
from tests.bench.compare.traffic.histogram import Histogram
from tests.bench.compare.traffic.roundtrip import RoundTrips, round_trips
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

PERCENTILES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
IDLE_RATE, BUSY_RATE = 1_000.0, 50_000.0  # packets a second
IDLE, BUSY = "idle", "50 kpps"
ROUND_TRIP = "round trip"

# Round trips among others: no multiple of the time between bursts, so that they meet all of it.
_PERIOD = 0.0007
_START_SECONDS = 0.5  # for which there are others around the round trips
_TYPICAL_SECONDS = 0.00005  # of one round trip that follows the one before


class Latency:
    """The time from one end to the other, and for round trips also through a client's socket.

    Everything is on one processor: between two of a virtual machine, waking the other one up takes
    longer than all else. One way is measured in the kernel, from when it is handed a packet to when
    the far end has it. Round trips follow each other at once when there is no other traffic.

    Args:
        flows: With which numbers of flows it is measured.
        seconds: For how long each is measured.
    """

    name = "latency"

    def __init__(self, flows: Sequence[int] = (100,), *, seconds: float) -> None:
        self.flows = flows
        self._seconds = seconds

    def measure(self, testbed: Testbed, running: RunningSystem) -> Iterator[Measurement]:
        """Measure both ways, then round trips."""
        with pinned(running.pids, SENDER_CORE):
            for direction in Direction:
                with Traffic(testbed, running.flows, direction, PAYLOAD) as traffic:
                    warm_up(traffic)
                    for load, rate in ((IDLE, IDLE_RATE), (BUSY, BUSY_RATE)):
                        times, lost = self._one_way(traffic, rate)
                        yield from self._measurements(direction, load, times, lost)
            path = testbed, running.flows, Direction.TO_TRANSCEIVER, PAYLOAD
            with Traffic(*path) as traffic:
                warm_up(traffic)
                count = round(self._seconds / _TYPICAL_SECONDS)
                trips = self._round_trips(testbed, running, 0.0, count)
                yield from self._measurements(ROUND_TRIP, IDLE, trips.times, trips.lost / count)
                count = round(self._seconds / _PERIOD)
                traffic.begin_bursts(BUSY_RATE, self._seconds + _START_SECONDS, batched=False)
                trips = self._round_trips(testbed, running, _PERIOD, count)
                traffic.finish_bursts()
                yield from self._measurements(ROUND_TRIP, BUSY, trips.times, trips.lost / count)

    def _one_way(self, traffic: Traffic, rate: float) -> tuple[Histogram, float]:
        """How long packets took, and the share that was lost."""
        traffic.begin_bursts(rate, self._seconds, timed=True, batched=False)
        passed = traffic.finish_bursts()
        if passed.latency is None or not passed.latency.total:
            raise LabError("Nothing passes.")
        return passed.latency, 1 - passed.latency.total / passed.sent

    def _round_trips(
        self, testbed: Testbed, running: RunningSystem, period: float, count: int
    ) -> RoundTrips:
        flow = running.flows[0]
        return round_trips(
            testbed, flow, payload=PAYLOAD, period=period, count=count, core=SENDER_CORE
        )

    def _measurements(
        self, path: str, load: str, times: Histogram, lost: float
    ) -> Iterator[Measurement]:
        figures = {name: times.percentile(share) / 1000 for name, share in PERCENTILES.items()}
        figures |= {"max_us": times.slowest / 1000, "lost_percent": 100 * lost}
        parameters: Parameters = {"payload": PAYLOAD, "path": str(path), "load": load}
        yield from measurements(self.name, figures, parameters)
