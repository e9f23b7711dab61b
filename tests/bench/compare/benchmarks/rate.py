"""How many packets a second pass without loss."""

from collections.abc import Iterator, Sequence

from tests.bench.compare.model import Direction, Measurement, Running
from tests.bench.compare.testbed import Arena
from tests.bench.compare.traffic.search import Found, loss_free
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

WARM_UP_RATE, WARM_UP_SECONDS = 10_000.0, 0.05


def warm_up(traffic: Traffic) -> None:
    """Send a few packets, the first of which may take a contestant's slow path.

    Raises:
        LabError: None of them arrives.
    """
    if traffic.send(WARM_UP_RATE, WARM_UP_SECONDS).arrived == 0:
        raise LabError("Nothing passes.")


class Rate:
    """The highest rate at which at most 0.1 % of packets are lost.

    Args:
        flows: With which numbers of flows it is asked.
        payloads: Of which sizes packets are, in bytes.
        seconds: For how long each rate is tried.
    """

    name = "rate"

    def __init__(
        self, flows: Sequence[int], payloads: Sequence[int] = (160, 1200), seconds: float = 0.5
    ) -> None:
        self.flows = flows
        self._payloads = payloads
        self._seconds = seconds
        self._running: Running | None = None
        self._found: dict[int, Found] = {}

    def ask(self, arena: Arena, contestant: str, running: Running) -> Iterator[Measurement]:
        """Search for it, with packets to the transceiver."""
        for payload in self._payloads:
            found = self.find(arena, running, payload)
            parameters: dict[str, int | str] = {"payload": payload, "flows": len(running.flows)}
            for metric, value in (("kpps", found.rate / 1000), ("limited", float(found.limited))):
                yield Measurement(self.name, contestant, metric, value, parameters)

    def find(self, arena: Arena, running: Running, payload: int) -> Found:
        """The rate of packets of a size; searched for once while a contestant runs.

        Raises:
            LabError: Nothing passes, or an end of the traffic fails.
        """
        if running is not self._running:
            self._running, self._found = running, {}
        if payload not in self._found:
            with Traffic(arena, running.flows, Direction.TO_TRANSCEIVER, payload) as traffic:
                warm_up(traffic)
                self._found[payload] = loss_free(lambda rate: traffic.send(rate, self._seconds))
        return self._found[payload]
