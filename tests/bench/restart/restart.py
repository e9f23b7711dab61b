"""Agents that take flows over: when they are ready, and how long they keep one waiting."""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.admin import transport as admin
from tests.bench.cost import memory
from tests.bench.cost.site import IPV4, Site, site
from tests.bench.errors import BenchError
from tests.lab.config import icelane

POLL = 0.005  # seconds between two questions
_LIMIT = 60.0  # seconds for an answer
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Restart:
    """A start of an agent that took flows over.

    Attributes:
        flows: How many.
        ready: Seconds from its command until it served.
        resident: Its resident memory in the end, in bytes.
        stall: The longest that a question to it took from then on, in seconds: all that it does
            is done in turn.
        usual: How long most of them took, the median.
    """

    flows: int
    ready: float
    resident: int
    stall: float
    usual: float


def run(
    flows: Sequence[int], times: int, seconds: float, progress: Callable[[str], None]
) -> Iterator[Restart]:
    """Measure.

    Args:
        flows: Numbers of flows to take over.
        times: How many restarts with each.
        seconds: How long each agent is watched.
        progress: Told what is being done.

    Raises:
        BenchError: An agent does not start.
        DataplaneError: The program cannot be loaded.
    """
    for count in flows:
        with site(IPV4, count) as made:
            progress(f"adding {count:,} flows")
            memory.fill(made, 0, count)
            for number in range(times):
                progress(f"restart {number + 1} with {count:,} flows")
                yield restart(made, count, seconds)


def restart(made: Site, flows: int, seconds: float) -> Restart:
    """One start, and what the agent does in the time after it."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_agent(made, Path(directory)) as running,
    ):
        pid, ready = running
        adopted = _ask(Path(directory)).get("adopted")
        if adopted != flows:
            raise BenchError(f"the agent took {adopted} of {flows:,} flows over")
        waited = []
        end = time.monotonic() + seconds
        while (asked := time.monotonic()) < end:
            _ask(Path(directory))
            waited.append(time.monotonic() - asked)
            time.sleep(POLL)
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        resident = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        if resident is None:
            raise BenchError("the agent has ended")
        usual = sorted(waited)[len(waited) // 2]
        return Restart(flows, ready, int(resident[1]) * 1024, max(waited), usual)


def _ask(directory: Path) -> dict[str, int]:
    counters: dict[str, int] = admin.ask(directory / "admin.sock", "counters", timeout=_LIMIT)
    return counters


@contextmanager
def running_agent(made: Site, directory: Path) -> Iterator[tuple[int, float]]:
    """An agent that is ready; its process and how long it took, in seconds."""
    config = memory.write_config(made, directory)
    log = directory / "log"
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            made.host.command((icelane(), "relay", "run", "--config", str(config))),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        memory.wait_until_ready(process, log, start)
        yield process.pid, time.monotonic() - start
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)
