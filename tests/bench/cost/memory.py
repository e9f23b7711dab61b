"""What flows take: memory of the maps and of an agent, and the time to look at all of them."""

import os
import re
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from tests.bench.cost.site import INTERFACES, PORTS, TARGET, TRANSCEIVER, VIP, Site, upstream
from tests.bench.relayfiles import Setting, write_relay_files
from tests.lab.config import icelane

_READY_SECONDS = 120.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a map with flows in it.

    Attributes:
        flows: How many there are, and are room for.
        map: The map's name.
        bytes: What the kernel has taken for it.
        per_flow: The same for one flow, both directions.
    """

    flows: int
    map: str
    bytes: int
    per_flow: float


@dataclass(frozen=True, slots=True)
class Scan:
    """A look at every flow for those that have expired.

    Attributes:
        flows: How many there are.
        seconds: For all of them.
        longest: For the longest piece, between which an agent does other things.
    """

    flows: int
    seconds: float
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


def map_memory(site: Site, name: str, flows: int) -> Memory:
    """What a map takes, by the kernel's account."""
    fd = bpfsys.obj_get(Pins(site.instance).map(name))
    try:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    finally:
        os.close(fd)
    found = re.search(r"^memlock:\s+(\d+)$", info, re.MULTILINE)
    if found is None:
        raise DataplaneError("This kernel does not say how much memory a map takes.")
    taken = int(found[1])
    return Memory(flows, name, taken, taken / flows)


def scan(site: Site) -> Scan:
    """Look at every flow, of which none has expired."""
    with closing(XdpDataplane(site.instance)) as dataplane:
        flows = dataplane.status().flows
        longest, start = 0.0, time.perf_counter()
        last = start
        for _ in dataplane.idle(0.0):
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        return Scan(flows, time.perf_counter() - start, longest)


def agent(site: Site, flows: int) -> Agent:
    """Start an agent on the site, which takes the flows over.

    Raises:
        DataplaneError: It did not start.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = _write_config(site, Path(directory), flows)
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
            _wait_until_ready(process, log, start)
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


def _write_config(site: Site, directory: Path, flows: int) -> Path:
    settings: dict[str, Setting] = {
        "vip": [str(VIP)],
        "upstream": [upstream(i).host for i in range(0, flows, len(PORTS))],
        "ports": f"{PORTS[0]}-{PORTS[-1]}",
        "dataplane": "xdp",
        "interface": list(INTERFACES),
        "mode": "native",
        "instance": site.instance,
        "max_flows": site.max_flows,
    }
    return write_relay_files(directory, site.keys, TARGET, TRANSCEIVER, settings)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, start: float) -> None:
    while "ready:" not in (text := log.read_text(encoding="utf-8")):
        if process.poll() is not None or time.monotonic() - start > _READY_SECONDS:
            raise DataplaneError(f"The agent did not start:\n{text.strip()}")
        time.sleep(0.05)
