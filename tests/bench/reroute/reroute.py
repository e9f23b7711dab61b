"""Changes to a relay's network, again and again, in all states of its agent."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.relay_testbed import RelayTestbed
from tests.lab.reroute_traffic import measure, wait_until_unwatched
from tests.lab.reroutes import NETWORK, Reroute


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one change.

    Attributes:
        change: Its name.
        version: Of IP.
        agent: Whether it was alive or dead.
        seconds: How long the old way was used, each time; counted from the call that makes the
            change, so that what the kernel takes for it is in there.
    """

    change: str
    version: int
    agent: str
    seconds: Sequence[float]


def run(reroutes: Sequence[Reroute], times: int, progress: Callable[[str], None]) -> Iterator[Row]:
    """Measure.

    Raises:
        DataplaneError: The program cannot be loaded.
        LabError: The network cannot be made, or packets get lost before anything is changed.
    """
    name = f"reroute-{os.getpid()}"
    with (
        tempfile.TemporaryDirectory() as directory,
        RelayTestbed(name, Path(directory), network=NETWORK) as testbed,
    ):
        for agent in ("alive", "dead"):
            if agent == "dead":
                testbed.signal(signal.SIGKILL)
                wait_until_unwatched(testbed)
            for each in reroutes:
                progress(f"{each.name}, agent {agent}")
                for version in (4, 6):
                    found = [
                        measure(testbed, each, version, agent=agent == "alive").seconds
                        for _ in range(times)
                    ]
                    yield Row(each.name, version, agent, found)
