"""What passes when twice as much comes as passes without loss."""

from collections.abc import Iterator, Sequence

from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.model import Direction, Measurement, Running
from tests.bench.compare.testbed import Arena
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

FACTOR = 2.0


class Overload:
    """What is delivered at twice the loss-free rate.

    Where the kernel forwards on the sender's processor, the sender cannot send that much: the
    load says how much it was.

    Args:
        rate: Finds the loss-free rate.
        flows: With which numbers of flows it is asked.
        payload: The size of packets' payloads in bytes.
        seconds: For how long packets are sent.
    """

    name = "overload"

    def __init__(
        self, rate: Rate, flows: Sequence[int] = (100,), payload: int = 160, seconds: float = 0.5
    ) -> None:
        self.flows = flows
        self._rate = rate
        self._payload = payload
        self._seconds = seconds

    def ask(self, arena: Arena, contestant: str, running: Running) -> Iterator[Measurement]:
        """Measure, with packets to the transceiver."""
        found = self._rate.find(arena, running, self._payload)
        if not found.rate:
            raise LabError("No rate passes without loss, so there is none to double.")
        with Traffic(arena, running.flows, Direction.TO_TRANSCEIVER, self._payload) as traffic:
            passed = traffic.send(FACTOR * found.rate, self._seconds)
        parameters: dict[str, int | str] = {
            "payload": self._payload,
            "flows": len(running.flows),
        }
        for metric, value in (
            ("load", passed.sent_rate / found.rate),
            ("delivered_percent", 100 * (1 - passed.loss)),
            ("kpps", passed.arrived_rate / 1000),
        ):
            yield Measurement(self.name, contestant, metric, value, parameters)
