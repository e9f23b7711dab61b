"""What a relay takes: to be the same after a soak as before."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from relay.dataplane import xdp
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.pins import Pins
from tests.lab.process import Process, children
from tests.lab.relay_testbed import RelayTestbed

# Memory may grow by this share: the allocator keeps what it once had to have.
_MEMORY_SLACK = 0.25
_LOOKS, _LOOK_SECONDS = 50, 0.1
# Descriptors may be these more: a connection to Redis that is being made anew.
_FILES_SLACK = 2
# A process starts the threads of its pool as they are needed: at most as many as asyncio's has.
_THREADS_SLACK = min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a relay takes.

    Attributes:
        processes: How many processes it is.
        threads: Theirs.
        open_files: Theirs.
        resident_bytes: Theirs, what they share counted once for each.
        flows: In the agent's table.
        map_flows: In the dataplane's.
        pins: Files in its directory of the BPF file system.
    """

    processes: int
    threads: int
    open_files: int
    resident_bytes: int
    flows: int
    map_flows: int
    pins: int

    @classmethod
    def of(cls, testbed: RelayTestbed) -> "Resources":
        """What a testbed's relay takes now."""
        agent = testbed.process()
        processes = [agent, *children(agent)]
        pins = Pins(testbed.instance)
        in_kernel = testbed.dataplane == DataplaneChoice.XDP
        return cls(
            processes=len(processes),
            threads=sum(_status(each, "Threads") for each in processes),
            open_files=_settled_files(processes),
            resident_bytes=sum(_status(each, "VmRSS") * 1024 for each in processes),
            flows=len(testbed.status()["flows"]),
            map_flows=xdp.status(testbed.instance).flows if in_kernel else 0,
            pins=len(list(pins.directory.iterdir())) if in_kernel else 0,
        )

    def grown(self, before: "Resources", sockets: int) -> list[str]:
        """What has grown since another moment beyond what is to be expected, in words.

        Args:
            before: What was taken then.
            sockets: How many more it may have for its flows.
        """
        slack = {
            "threads": _THREADS_SLACK * before.processes,
            "open_files": _FILES_SLACK + sockets,
            "resident_bytes": round(before.resident_bytes * _MEMORY_SLACK),
        }
        return [
            f"{name} grew from {asdict(before)[name]} to {now}"
            for name, now in asdict(self).items()
            if now > asdict(before)[name] + slack.get(name, 0)
        ]


def _settled_files(processes: Sequence[Process]) -> int:
    """How many descriptors they have open, once those of who has just asked them are closed."""
    last = -1
    for _ in range(_LOOKS):
        now = sum(each.open_files() for each in processes)
        if now == last:
            break
        last = now
        time.sleep(_LOOK_SECONDS)
    return now


def _status(process: Process, field: str) -> int:
    """A number of /proc/PID/status, without its unit."""
    return int(
        next(line for line in process.status_lines() if line.startswith(f"{field}:")).split()[1]
    )
