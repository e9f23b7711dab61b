"""What a flow sees of what is done to its relay: packets lost, doubled and overtaken.

A load of numbered packets runs through the relay meanwhile, both ways (`tests.lab.load`).
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.testbed.system import System
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.delivery import Delivery
from tests.lab.errors import LabError
from tests.lab.load import Load
from tests.lab.process import Process
from tests.lab.relay_testbed import RelayTestbed, udp_socket
from tests.lab.topology import CLIENT, TRANSCEIVER

NAME = "continuity"
RATE = 500  # packets a second, each way

_OTHER = {"xdp": "userspace", "userspace": "xdp"}


class Outage:
    """What a flow of a system sees when its processes are killed and started again.

    Args:
        system: What is measured.
        seconds: How long the load runs before and after.
        dead: Seconds that the processes stay dead.
    """

    name = NAME

    def __init__(self, system: System, *, seconds: float = 0.5, dead: float = 1.0) -> None:
        self.system = system
        self._seconds = seconds
        self._dead = dead

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The system does not start, or nothing passes after its return.
        """
        with Testbed() as testbed, self.system.running(testbed, 1) as running:
            if running.restart is None or running.new_ufrag is None:
                raise LabError(f"{self.system.name} cannot be killed and started again.")
            client = udp_socket(testbed.hosts[CLIENT], testbed.client(1))
            transceiver = udp_socket(testbed.hosts[TRANSCEIVER], testbed.transceiver)
            ufrag = running.new_ufrag()
            with Load(client, transceiver, testbed.vip, ufrag, rate=RATE) as load:
                load.run_for(self._seconds)
                for pid in running.pids:
                    Process.of(pid).signal(signal.SIGKILL)
                load.run_for(self._dead)
                running.restart()
                load.wait_for_packets()
                load.run_for(self._seconds)
        yield from _measurements("kill", load)


class Continuity:
    """What happens to a flow of Icelane.

    Args:
        system: What is measured.
        events: What is done to the relay, each under a load of its own; see `EVENTS`.
        seconds: How long the load runs before and after an event.
        dead: Seconds that a killed agent stays dead.
    """

    name = NAME

    def __init__(
        self,
        system: Icelane,
        events: Sequence[str] = ("kill", "upgrade", "switch"),
        *,
        seconds: float = 0.5,
        dead: float = 1.0,
    ) -> None:
        self.system = system
        self._events = events
        self._seconds = seconds
        self._dead = dead

    def measure(self) -> Iterator[Measurement]:
        """Let each event happen once.

        Raises:
            LabError: The relay does not start, or nothing passes after an event.
        """
        with (
            tempfile.TemporaryDirectory() as directory,
            RelayTestbed(
                f"bench-{os.getpid()}-{NAME}", Path(directory), self.system.dataplane
            ) as testbed,
        ):
            for event in self._events:
                with testbed.load(rate=RATE) as load:
                    load.run_for(self._seconds)
                    EVENTS[event](testbed, load, self._dead)
                    load.wait_for_packets()
                    load.run_for(self._seconds)
                yield from _measurements(event, load)


def packet_loss(ways: tuple[Delivery, Delivery]) -> dict[str, float]:
    """What became of the packets of a load at `RATE`, both ways, as metrics."""
    return {
        "lost": sum(way.lost for way in ways),
        "longest_gap_ms": 1000 * max(way.gap for way in ways) / RATE,
        "duplicated": sum(way.duplicated for way in ways),
        "reordered": sum(way.reordered for way in ways),
    }


def _measurements(event: str, load: Load) -> Iterator[Measurement]:
    values = packet_loss((load.to_transceiver, load.to_client))
    yield from measurements(NAME, values, {"event": event, "rate": RATE})


def _kill(testbed: RelayTestbed, load: Load, dead: float) -> None:
    """The agent dies without warning, and is started again a while later."""
    testbed.signal(signal.SIGKILL)
    load.run_for(dead)
    testbed.start()


def _upgrade(testbed: RelayTestbed, _load: Load, _dead: float) -> None:
    """Another version takes over: its program replaces the one in the kernel, then its agent."""
    testbed.signal(signal.SIGTERM)
    if testbed.dataplane == "xdp":
        _run(testbed, "relay", "load", "--config", str(testbed.config))
    testbed.start()


def _switch(testbed: RelayTestbed, load: Load, _dead: float) -> None:
    """The other dataplane takes over, and gives back."""
    for dataplane in (_OTHER[testbed.dataplane], testbed.dataplane):
        _run(testbed, "dataplane", "switch", dataplane, "--instance", testbed.instance)
        load.wait_for_packets()


EVENTS: dict[str, Callable[[RelayTestbed, Load, float], None]] = {
    "kill": _kill,
    "upgrade": _upgrade,
    "switch": _switch,
}


def _run(testbed: RelayTestbed, *arguments: str) -> None:
    done = testbed.icelane(*arguments)
    if done.returncode != 0:
        raise LabError(f"icelane {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
