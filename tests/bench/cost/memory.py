"""What flows take: memory of the maps and of an agent, and the time to add and to read them."""

import os
import random
import re
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from tests.bench.cost.site import INTERFACES, PORTS, TARGET, Site
from tests.bench.relayfiles import Setting, write_relay_files
from tests.lab.config import icelane

ALL_MAPS = "all"

_TIMES = 3  # that flows are read
_READY_SECONDS = 120.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Filling:
    """Flows that were added one by one, in random order.

    Attributes:
        family: Their addresses.
        flows: How many there are now.
        added: How many of them were added.
        seconds: For those.
    """

    family: str
    flows: int
    added: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a map of a relay that has as many flows as there is room for.

    Attributes:
        family: The flows' addresses.
        flows: How many there are.
        map: The map's name; ALL_MAPS for all of them.
        bytes: What the kernel has taken for it.
        per_flow: The same for one flow, both directions.
    """

    family: str
    flows: int
    map: str
    bytes: int
    per_flow: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Flows read with their counters.

    Attributes:
        flows: How many were read.
        of: Of how many.
        min: Seconds for all of them, the least of several times.
        median: Their median.
        max: The most.
    """

    flows: int
    of: int
    min: float
    median: float
    max: float


@dataclass(frozen=True, slots=True)
class Scan:
    """A look at every flow for those that have expired.

    Attributes:
        flows: How many there are.
        min: Seconds for all of them, the least of several times.
        median: Their median.
        max: The most.
        longest: Seconds for the longest piece, between which an agent does other things.
    """

    flows: int
    min: float
    median: float
    max: float
    longest: float


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that has taken over flows.

    Attributes:
        flows: How many.
        ready_seconds: From its start until it served.
        resident_bytes: Its resident memory then.
        open_files: Its open files then.
    """

    flows: int
    ready_seconds: float
    resident_bytes: int
    open_files: int


def fill(site: Site, before: int, flows: int) -> Filling:
    """Add flows in random order, so that none lies beside the next one in memory.

    Args:
        site: Where.
        before: How many there are.
        flows: How many there are to be.

    Raises:
        DataplaneError: The kernel refuses them.
    """
    numbers = list(range(before, flows))
    random.Random(flows).shuffle(numbers)  # it only mixes
    added = [site.family.flow(number, site.route) for number in numbers]
    with closing(XdpDataplane(site.instance)) as dataplane:
        start = time.perf_counter()
        for flow in added:
            dataplane.install(flow)
        return Filling(site.family.name, flows, len(added), time.perf_counter() - start)


def map_memory(site: Site, flows: int) -> list[Memory]:
    """What the maps take, by the kernel's account: all of them, and each that is large."""
    pins = Pins(site.instance)
    taken = {name: _map_bytes(pins.map(name)) for name in pins.maps()}
    large = {name: size for name, size in taken.items() if size >= flows}
    return [
        Memory(site.family.name, flows, name, size, size / flows)
        for name, size in {ALL_MAPS: sum(taken.values()), **large}.items()
    ]


def _map_bytes(path: Path) -> int:
    fd = bpfsys.obj_get(path)
    try:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    finally:
        os.close(fd)
    found = re.search(r"^memlock:\s+(\d+)$", info, re.MULTILINE)
    if found is None:
        raise DataplaneError("This kernel does not say how much memory a map takes.")
    return int(found[1])


def reading(site: Site, flows: int) -> Reading:
    """Read some flows with their counters, as a listing does."""
    with closing(XdpDataplane(site.instance)) as dataplane:
        of, times = dataplane.status().flows, []
        for _ in range(_TIMES):
            start = time.perf_counter()
            for _ in islice(dataplane.flows(), flows):
                pass
            times.append(time.perf_counter() - start)
    return Reading(min(flows, of), of, min(times), median(times), max(times))


def scan(site: Site) -> Scan:
    """Look at every flow, of which none has expired."""
    with closing(XdpDataplane(site.instance)) as dataplane:
        flows, times, longest = dataplane.status().flows, [], 0.0
        for _ in range(_TIMES):
            last = start = time.perf_counter()
            for _ in dataplane.idle(0.0):
                now = time.perf_counter()
                longest, last = max(longest, now - last), now
            times.append(time.perf_counter() - start)
    return Scan(flows, min(times), median(times), max(times), longest)


def agent(site: Site, flows: int) -> Agent:
    """Start an agent on the site, which takes the flows over.

    Raises:
        DataplaneError: It did not start.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = write_config(site, Path(directory))
        log = Path(directory, "log")
        start = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                site.host.command((icelane(), "relay", "run", "--config", str(config))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_ready(process, log, start)
            seconds = time.monotonic() - start
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            resident = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
            if f"adopted {flows} flows" not in log.read_text(encoding="utf-8") or not resident:
                raise DataplaneError(f"The agent did not take all {flows:,} flows over.")
            files = sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())
            return Agent(flows, seconds, int(resident[1]) * 1024, files)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def write_config(site: Site, directory: Path) -> Path:
    """Write what an agent of a site needs, and its settings; the path of these."""
    settings: dict[str, Setting] = {
        "vip": [str(site.family.vip)],
        "upstream": site.upstreams,
        "ports": f"{PORTS[0]}-{PORTS[-1]}",
        "dataplane": "xdp",
        "interface": list(INTERFACES),
        "mode": "native",
        "instance": site.instance,
        "max_flows": site.max_flows,
    }
    return write_relay_files(directory, site.keys, TARGET, site.family.transceiver, settings)


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, start: float) -> None:
    """Return when an agent says that it is ready.

    Args:
        process: The agent.
        log: What it writes.
        start: When it was started, monotonic seconds.

    Raises:
        DataplaneError: It has ended, or takes too long.
    """
    while "ready:" not in (text := log.read_text(encoding="utf-8")):
        if process.poll() is not None or time.monotonic() - start > _READY_SECONDS:
            raise DataplaneError(f"The agent did not start:\n{text.strip()}")
        time.sleep(0.05)
