"""How many packets a second pass without loss."""

from collections.abc import Iterator, Sequence

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.forwarding import PAYLOAD
from tests.bench.compare.testbed.system import Direction, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic.search import Found, loss_free
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

WARM_UP_RATE, WARM_UP_SECONDS = 10_000.0, 0.05


def warm_up(traffic: Traffic) -> None:
    """Send a few packets, the first of which may take a system's slow path.

    Raises:
        LabError: None of them arrives.
    """
    if traffic.send(WARM_UP_RATE, WARM_UP_SECONDS).arrived == 0:
        raise LabError("Nothing passes.")


class Rate:
    """The highest rate at which at most 0.1 % of packets are lost.

    Args:
        flows: With which numbers of flows it is measured.
        payloads: Of which sizes packets are, in bytes.
        seconds: For how long each rate is tried.
    """

    name = "rate"

    def __init__(
        self, flows: Sequence[int], payloads: Sequence[int] = (PAYLOAD,), *, seconds: float
    ) -> None:
        self.flows = flows
        self._payloads = payloads
        self._seconds = seconds
        self._running: RunningSystem | None = None
        self._found: dict[int, Found] = {}

    def measure(self, testbed: Testbed, running: RunningSystem) -> Iterator[Measurement]:
        """Search for it, with packets to the transceiver."""
        for payload in self._payloads:
            found = self.find(testbed, running, payload)
            values = {"kpps": found.rate / 1000, "limited": float(found.limited)}
            parameters = {"payload": payload, "flows": len(running.flows)}
            yield from measurements(self.name, values, parameters)

    def find(self, testbed: Testbed, running: RunningSystem, payload: int = PAYLOAD) -> Found:
        """The rate of packets of a size; searched for once while a system runs.

        Raises:
            LabError: Nothing passes, or an end of the traffic fails.
        """
        if running is not self._running:
            self._running, self._found = running, {}
        if payload not in self._found:
            with Traffic(testbed, running.flows, Direction.TO_TRANSCEIVER, payload) as traffic:
                warm_up(traffic)
                self._found[payload] = loss_free(lambda rate: traffic.send(rate, self._seconds))
        return self._found[payload]
