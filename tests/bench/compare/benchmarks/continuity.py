"""What a flow feels of what is done to its relay: packets lost, doubled and overtaken.

A load of numbered packets runs through the relay meanwhile, both ways (`tests.lab.load`).
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench.compare.calls.requirements import lacks
from tests.bench.compare.model import Contestant, Measurement
from tests.bench.compare.testbed import Arena
from tests.lab.errors import LabError
from tests.lab.load import Load, Tally
from tests.lab.process import Process
from tests.lab.rig import Rig, bound
from tests.lab.topology import CLIENT, TRANSCEIVER

NAME = "continuity"

_OTHER = {"xdp": "userspace", "userspace": "xdp"}


class Outage:
    """What a flow of another contestant feels when its processes are killed and started again.

    Args:
        contestant: Whom to ask.
        rate: Packets a second, each way.
        seconds: How long the load runs before and after.
        dead: Seconds that the processes stay dead.
    """

    name = NAME

    def __init__(
        self, contestant: Contestant, *, rate: int = 500, seconds: float = 0.5, dead: float = 1.0
    ) -> None:
        self.contestant = contestant.name
        self._asked = contestant
        self._rate = rate
        self._seconds = seconds
        self._dead = dead

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return self._asked.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The contestant does not start, or nothing passes after its return.
        """
        with Arena() as arena, self._asked.running(arena, 1) as running:
            if running.again is None or running.new_ufrag is None:
                raise LabError(f"{self.contestant} cannot be killed and started again.")
            client = bound(arena.hosts[CLIENT], arena.client(1))
            transceiver = bound(arena.hosts[TRANSCEIVER], arena.transceiver)
            ufrag = running.new_ufrag()
            with Load(client, transceiver, arena.vip, ufrag, rate=self._rate) as load:
                load.last_seconds(self._seconds)
                for pid in running.pids:
                    Process.of(pid).signal(signal.SIGKILL)
                load.last_seconds(self._dead)
                running.again()
                load.passes_again()
                load.last_seconds(self._seconds)
        yield from _told(self.contestant, "kill", (load.there, load.back), self._rate)


class Continuity:
    """What happens to a flow of Icelane.

    Args:
        dataplane: What the relay forwards with, xdp or userspace.
        events: What is done to the relay, each under a load of its own; see `EVENTS`.
        rate: Packets a second, each way.
        seconds: How long the load runs before and after an event.
        dead: Seconds that a killed agent stays dead.
    """

    name = NAME

    def __init__(
        self,
        dataplane: str,
        events: tuple[str, ...] = ("kill", "upgrade", "switch"),
        *,
        rate: int = 500,
        seconds: float = 0.5,
        dead: float = 1.0,
    ) -> None:
        self.contestant = f"icelane {dataplane}"
        self._dataplane = dataplane
        self._events = events
        self._rate = rate
        self._seconds = seconds
        self._dead = dead

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return lacks(_dataplanes(self._dataplane, self._events))

    def ask(self) -> Iterator[Measurement]:
        """Let each event happen once.

        Raises:
            LabError: The relay does not start, or nothing passes after an event.
        """
        with (
            tempfile.TemporaryDirectory() as directory,
            Rig(f"{NAME}-{os.getpid()}", Path(directory), self._dataplane) as rig,
        ):
            for event in self._events:
                yield from self._measured(event, rig)

    def _measured(self, event: str, rig: Rig) -> Iterator[Measurement]:
        with rig.load(rate=self._rate) as load:
            load.last_seconds(self._seconds)
            EVENTS[event](rig, load, self._dead)
            load.passes_again()
            load.last_seconds(self._seconds)
        yield from _told(self.contestant, event, (load.there, load.back), self._rate)


def felt(ways: tuple[Tally, Tally], rate: int) -> Mapping[str, float]:
    """What became of the packets of a load, both ways, as metrics.

    Args:
        ways: What became of the packets of each way.
        rate: Packets a second, each way.
    """
    return {
        "lost": sum(way.lost for way in ways),
        "longest_gap_ms": 1000 * max(way.gap for way in ways) / rate,
        "duplicated": sum(way.duplicated for way in ways),
        "reordered": sum(way.reordered for way in ways),
    }


def _told(
    contestant: str, event: str, ways: tuple[Tally, Tally], rate: int
) -> Iterator[Measurement]:
    parameters: dict[str, int | str] = {"event": event, "rate": rate}
    for metric, value in felt(ways, rate).items():
        yield Measurement(NAME, contestant, metric, value, parameters)


def _kill(rig: Rig, load: Load, dead: float) -> None:
    """The agent dies without warning, and is started again a while later."""
    rig.signal(signal.SIGKILL)
    load.last_seconds(dead)
    rig.start()


def _upgrade(rig: Rig, _load: Load, _dead: float) -> None:
    """Another version takes over: its program replaces the one in the kernel, then its agent."""
    rig.signal(signal.SIGTERM)
    if rig.dataplane == "xdp":
        _run(rig, "relay", "load", "--config", str(rig.config))
    rig.start()


def _switch(rig: Rig, load: Load, _dead: float) -> None:
    """The other dataplane takes over, and gives back."""
    for dataplane in (_OTHER[rig.dataplane], rig.dataplane):
        _run(rig, "dataplane", "switch", dataplane, "--instance", rig.instance)
        load.passes_again()


EVENTS: dict[str, Callable[[Rig, Load, float], None]] = {
    "kill": _kill,
    "upgrade": _upgrade,
    "switch": _switch,
}


def _run(rig: Rig, *arguments: str) -> None:
    done = rig.icelane(*arguments)
    if done.returncode != 0:
        raise LabError(f"icelane {' '.join(arguments[:2])} failed: {done.stderr.strip()}")


def _dataplanes(dataplane: str, events: tuple[str, ...]) -> set[str]:
    return {dataplane, _OTHER[dataplane]} if "switch" in events else {dataplane}
