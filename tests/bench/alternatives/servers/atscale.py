"""Many sessions: sockets, public ports, entries of a firewall, and the time until all are back."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.bench.alternatives.servers.systems import Server, check_sessions
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.testbed.system import System, UnderTest
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.start.start import StartBench
from tests.lab.errors import LabError
from tests.lab.process import Process
from tests.lab.topology import RELAY

_END_SECONDS = 5.0
_ANY_HOST = "00000000"


class Sockets:
    """UDP sockets of the host that has the public address, and those on that address.

    Args:
        system: What is measured.
        sessions: With how many sessions.
    """

    name = "sockets"

    def __init__(self, system: System, *, sessions: int) -> None:
        self.system = system
        self._sessions = sessions

    def measure(self) -> Iterator[Measurement]:
        """Count once.

        Raises:
            LabError: The system does not start, or does not open its sessions.
        """
        with Testbed() as testbed, self.system.running(testbed, self._sessions):
            listing = udp_listing(testbed.hosts[RELAY])
        values = count_sockets(listing, testbed.vip)
        yield from measurements(self.name, values, {"sessions": self._sessions})


def udp_listing(host: Host) -> str:
    """The kernel's list of a host's UDP sockets over IPv4."""
    with host.inside():
        return Path("/proc/thread-self/net/udp").read_text("ascii")


def count_sockets(listing: str, public: Endpoint) -> dict[str, float]:
    """Sockets and public ports, as metrics, by /proc/net/udp: address and port in its 2nd field."""
    local = [line.split()[1].partition(":") for line in listing.splitlines()[1:]]
    # The address is one number in the machine's byte order, in hexadecimal.
    host = bytes(map(int, public.host.split(".")))[::-1].hex().upper()
    ports = {port for address, _, port in local if address in (host, _ANY_HOST)}
    return {"sockets": len(local), "public_ports": len(ports)}


class ServerBack:
    """A server is killed and started again: until the last of its sessions answers a check.

    Args:
        system: The server.
        sessions: How many it has.
    """

    name = "back"

    def __init__(self, system: Server, *, sessions: int) -> None:
        self.system = system
        self._sessions = sessions

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The server does not start, or sessions do not answer.
        """
        with Testbed() as testbed, self.system.running(testbed, self._sessions) as running:
            for pid in running.pids:
                process = Process.of(pid)
                process.signal(signal.SIGKILL)
                process.wait(_END_SECONDS)
            begun = time.monotonic()
            if running.restart is not None:
                running.restart()
            check_sessions(testbed, running.flows, [self._sessions - 1])
            seconds = time.monotonic() - begun
        yield Measurement(self.name, "ms", 1000 * seconds, {"sessions": self._sessions})


class RelayBack:
    """A relay that has lost everything, also in the kernel, and has its flows in Redis.

    Args:
        system: Icelane with one of its dataplanes.
        sessions: How many flows there are.
    """

    name = "back"

    def __init__(self, system: Icelane, *, sessions: int) -> None:
        self.system = system
        self._sessions = sessions

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The relay does not start.
            BenchError: Nothing passes in time.
        """
        with StartBench.made(self._sessions, self.system.dataplane) as bench:
            start = bench.start(compiled=True)
        yield Measurement(self.name, "ms", 1000 * start.packet, {"sessions": self._sessions})


@dataclass(frozen=True, slots=True)
class Firewall:
    """nftables in front of sessions: a set that holds the public ports that are in use.

    Attributes:
        system: Whose ports they are.
        ports: How many.
        sessions: For how many sessions.
        more: How many more are let in one by one, as calls begin; none for a system whose ports
            stay the same.
    """

    system: UnderTest
    ports: int
    sessions: int
    more: int = 0

    name = "firewall"

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: nft is not installed, or fails.
        """
        with Testbed() as testbed:
            host, first = testbed.hosts[RELAY], testbed.upstream_ports[0]
            ports = range(first, first + self.ports)
            _nft(host, "-f", "-", text=rules(ports))
            added = [self._add(host, ports[-1] + 1 + number) for number in range(self.more)]
            entries = count_entries(_nft(host, "-j", "list", "set", "inet", "bench", "open"))
        values: dict[str, float] = {"entries": entries - self.more}
        if added:
            values["add_ms"] = 1000 * median(added)
        yield from measurements(self.name, values, {"sessions": self.sessions})

    @staticmethod
    def _add(host: Host, port: int) -> float:
        begun = time.monotonic()
        _nft(host, "add", "element", "inet", "bench", "open", f"{{ {port} }}")
        return time.monotonic() - begun


def rules(ports: Sequence[int]) -> str:
    """A table of nftables that lets in UDP to these ports, and nothing else."""
    listed = ", ".join(map(str, ports))
    return f"""\
table inet bench {{
    set open {{
        type inet_service
        elements = {{ {listed} }}
    }}
    chain input {{
        type filter hook input priority 0; policy drop;
        udp dport @open accept
    }}
}}
"""


def count_entries(listing: str) -> int:
    """The elements of a set, as `nft -j list set` prints it."""
    (found,) = (each["set"] for each in json.loads(listing)["nftables"] if "set" in each)
    return len(found["elem"])


def _nft(host: Host, *arguments: str, text: str | None = None) -> str:
    command = host.command(["nft", *arguments])
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text)
    if done.returncode != 0:
        raise LabError(f"nft fails: {done.stderr.strip()}")
    return done.stdout
