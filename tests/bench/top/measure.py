"""A viewer on a terminal, beside an agent that has taken over many flows: what both take."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.cost import memory
from tests.bench.cost.site import IPV4, site
from tests.bench.restart.restart import running_agent
from tests.relay.cli.terminal import Terminal

_TICK = os.sysconf("SC_CLK_TCK")
# Keys, and what they bring to the screen.
KEYS = {
    "p": "by packets",
    "c": "by client",
    "i": "by idle",
    "b": "by bits",
    "/10.0.7": "filter: 10.0.7_",
    "\x1b": "? help",
    "2": "out bit/s",
    "1": "client ",
}


@dataclass(frozen=True, slots=True)
class Watching:
    """A viewer beside so many flows.

    Attributes:
        flows: How many.
        viewer: The share of a processor that it takes.
        agent: The share that its agent takes beyond what it takes without.
        slowest: Seconds from the slowest key to its picture.
        median: The median of the keys.
    """

    flows: int
    viewer: float
    agent: float
    slowest: float
    median: float


def watch(flows: int, seconds: float, progress: Callable[[str], None]) -> Watching:
    """Measure it.

    Args:
        flows: In the kernel, and in the agent's table.
        seconds: For how long.
        progress: Told what is being done.
    """
    with site(IPV4, flows) as made, TemporaryDirectory() as directory:
        progress(f"adding {flows:,} flows")
        memory.fill(made, 0, flows)
        with running_agent(made, Path(directory)) as (pid, _):
            time.sleep(2.0)  # it looks at what it has taken over
            progress("the agent alone")
            alone = _share(pid, seconds)
            options = ("--instance", made.instance, "--admin", Path(directory) / "admin.sock")
            with Terminal("top", *options, columns=120, lines=50) as terminal:
                terminal.shows(f"{flows:,} confirmed")
                terminal.shows(" more")
                progress("the agent and a viewer")
                viewer, agent = _watched(terminal, pid, seconds)
                progress("keys")
                waits = sorted(_reaction(terminal, *each) for each in KEYS.items())
                terminal.type("q")
                terminal.end()
            return Watching(
                flows, viewer, max(0.0, agent - alone), waits[-1], waits[len(waits) // 2]
            )


def _watched(terminal: Terminal, pid: int, seconds: float) -> tuple[float, float]:
    """The shares of a viewer and of an agent, while its pictures are read."""
    before, began = (_spent(terminal.pid), _spent(pid)), time.monotonic()
    terminal.watch(seconds)
    elapsed = time.monotonic() - began
    after = _spent(terminal.pid), _spent(pid)
    return (after[0] - before[0]) / elapsed, (after[1] - before[1]) / elapsed


def _share(pid: int, seconds: float) -> float:
    before, began = _spent(pid), time.monotonic()
    time.sleep(seconds)
    return (_spent(pid) - before) / (time.monotonic() - began)


def _spent(pid: int) -> float:
    """Seconds of processors that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK  # utime and stime


def _reaction(terminal: Terminal, keys: str, shown: str) -> float:
    began = time.monotonic()
    terminal.type(keys)
    terminal.shows(shown)
    return time.monotonic() - began
