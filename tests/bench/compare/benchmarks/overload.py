"""What passes when twice as much comes as passes without loss."""

from collections.abc import Iterator, Sequence

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.forwarding import PAYLOAD
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.testbed.system import Direction, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

FACTOR = 2.0


class Overload:
    """What is delivered at twice the loss-free rate.

    Where the kernel forwards on the sender's processor, the sender cannot send that much: the
    load says how much it was.

    Args:
        rate: Finds the loss-free rate.
        flows: With which numbers of flows it is measured.
        seconds: For how long packets are sent.
    """

    name = "overload"

    def __init__(self, rate: Rate, flows: Sequence[int] = (100,), *, seconds: float) -> None:
        self.flows = flows
        self._rate = rate
        self._seconds = seconds

    def measure(self, testbed: Testbed, running: RunningSystem) -> Iterator[Measurement]:
        """Measure, with packets to the transceiver."""
        found = self._rate.find(testbed, running)
        if not found.rate:
            raise LabError("No rate passes without loss, so there is none to double.")
        with Traffic(testbed, running.flows, Direction.TO_TRANSCEIVER, PAYLOAD) as traffic:
            passed = traffic.send(FACTOR * found.rate, self._seconds)
        values = {
            "load": passed.sent_rate / found.rate,
            "delivered_percent": 100 * (1 - passed.loss),
            "kpps": passed.arrived_rate / 1000,
        }
        parameters = {"payload": PAYLOAD, "flows": len(running.flows)}
        yield from measurements(self.name, values, parameters)
