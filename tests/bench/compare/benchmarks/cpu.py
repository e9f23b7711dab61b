"""What a packet costs in processor time, on the whole machine."""

import time
from collections.abc import Iterator, Sequence

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.forwarding import PAYLOAD
from tests.bench.compare.benchmarks.rate import warm_up
from tests.bench.compare.testbed.system import Direction, RunningSystem
from tests.bench.compare.testbed.testbed import CORES, Testbed
from tests.bench.compare.traffic.soak import Readings, Soak, busy_share
from tests.bench.compare.traffic.stream import Passed, Traffic
from tests.lab.errors import LabError

RATE = 50_000.0  # packets a second; every system forwards more
MARGIN_SECONDS = 0.05  # of traffic before and after the measuring


class Cpu:
    """Nanoseconds of all processors for a packet, above the same traffic without a relay.

    Packets are sent in bursts, at a rate below what the systems can do. Everything counts:
    programs, system calls, interrupts. The same traffic over a direct cable is subtracted, and
    with it what its ends cost.

    Args:
        flows: With which numbers of flows it is measured.
        seconds: For how long it is measured, on each path.
        turns: How often each path has its turn: what else the machine does meets both.
        rate: Packets a second.
    """

    name = "cpu"

    def __init__(
        self,
        flows: Sequence[int] = (100,),
        *,
        seconds: float,
        turns: int = 4,
        rate: float = RATE,
    ) -> None:
        self.flows = flows
        self._seconds = seconds
        self._turns = turns
        self._rate = rate

    def measure(self, testbed: Testbed, running: RunningSystem) -> Iterator[Measurement]:
        """Measure, with packets to the transceiver."""
        path = (testbed, running.flows, Direction.TO_TRANSCEIVER, PAYLOAD)
        by_direct, by_relay, passed = [], [], []
        with (
            Traffic(*path, direct=True) as direct,
            Traffic(*path) as relayed,
            Soak(range(CORES)) as soak,
        ):
            warm_up(relayed)
            for _ in range(self._turns):
                by_direct.append(self._turn(direct, soak)[0])
                readings, outcome = self._turn(relayed, soak)
                by_relay.append(readings)
                passed.append(outcome)
        delivered = sum(each.arrived for each in passed) / sum(each.seconds for each in passed)
        if not delivered:
            raise LabError("Nothing passes.")
        without = busy_share(by_direct) / self._rate
        cost = busy_share(by_relay) / delivered - without
        values = {
            "ns_per_packet": 1e9 * cost,
            "ns_without_relay": 1e9 * without,
            "delivered_percent": 100 * delivered / self._rate,
        }
        parameters = {"payload": PAYLOAD, "flows": len(running.flows)}
        yield from measurements(self.name, values, parameters)

    def _turn(self, traffic: Traffic, soak: Soak) -> tuple[list[Readings], Passed]:
        seconds = self._seconds / self._turns
        traffic.begin_bursts(self._rate, seconds + 2 * MARGIN_SECONDS)
        time.sleep(MARGIN_SECONDS)
        readings = soak.watch(seconds)
        return readings, traffic.finish_bursts()
