"""A testbed of a relay alone, between a client's host and a transceiver's, for loads.

It has the network of a lab, and neither transceiver nor signaling. The relay has a VIP of each
family, and a slot for each pair of families; a load is both ends of a flow.
"""

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Self

from relay.admin import transport as admin
from relay.admin.place import default_path
from relay.config.privatefiles import write_private
from relay.dataplane import xdp
from relay.linux import ignore_path_mtu
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.lab import topology
from tests.lab.config import PORTS, RELAY_SERVICE, icelane
from tests.lab.errors import LabError
from tests.lab.load import RATE, SIZE, Load
from tests.lab.process import Process
from tests.lab.service import Runner, Service
from tests.lab.topology import (
    CLIENT,
    INTERNAL,
    ONE_ADDRESS,
    PUBLIC,
    RELAY,
    TRANSCEIVER,
    TWO_NICS,
    Network,
)

FAMILIES = ((4, 4), (6, 6), (4, 6), (6, 4))  # IP versions of client and transceiver

_KILL_SECONDS = 5.0
_ROUTE_SECONDS = 3600.0


def vip(version: int) -> Endpoint:
    """The relay's VIP of an IP version."""
    return Endpoint(topology.address(RELAY, PUBLIC, version=version), 3478)


def transceiver(slot: int, version: int) -> Endpoint:
    """The transport address of the transceiver in a slot."""
    return Endpoint(topology.address(TRANSCEIVER, INTERNAL, version=version), 5000 + slot)


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a flow.

    Attributes:
        client: The client's socket.
        vip: Where the client sends to.
        transceiver: The transceiver's socket.
        ufrag: The ufrag that routes to it.
    """

    client: socket.socket
    vip: Endpoint
    transceiver: socket.socket
    ufrag: str


class RelayTestbed:
    """A relay between two hosts, while entered.

    Args:
        name: Unique among all labs and testbeds; the relay's instance is `lab-NAME`.
        directory: Where to write its files.
        dataplane: What the relay forwards with, xdp or userspace.
        network: Its network.
        settings: Further settings of the relay, as lines of its TOML file.

    Attributes:
        keys: The cluster's keys.
        slots: The transceiver's slot for each pair of families.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        dataplane: str = "xdp",
        network: Network = TWO_NICS,
        settings: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.instance = f"lab-{name}"
        self.network = network
        self.dataplane = dataplane
        self.hosts = topology.hosts(name, network)
        self.config = directory / "relay.toml"
        self.directory = directory
        self._settings = settings
        self.keys = KeyRing.generate(secrets.token_bytes)
        self.slots = {families: slot for slot, families in enumerate(FAMILIES, start=1)}
        self._runner = Runner(name, directory)

    def __enter__(self) -> Self:
        """Create the network and start the relay.

        Raises:
            LabError: The network cannot be created, or the relay does not start.
            NetnsError: A host cannot be created.
        """
        topology.build(self.name, self.network)
        try:
            self._write_files()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Remove all of it."""
        self._remove()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The relay's interfaces; all of them run the program."""
        return topology.interfaces(self.network, RELAY)

    def load(
        self,
        families: tuple[int, int] = (4, 4),
        *,
        rate: float = RATE,
        sizes: tuple[int, int] = (SIZE, SIZE),
    ) -> Load:
        """A load on a new flow; at most one at a time for each pair of families."""
        ends = self._ends(families, self._transceiver_socket(families))
        return Load(ends.client, ends.transceiver, ends.vip, ends.ufrag, rate=rate, sizes=sizes)

    def ends(self, count: int) -> list[Ends]:
        """The ends of new flows, whose pairs of families take turns; each has one transceiver."""
        transceivers = {families: self._transceiver_socket(families) for families in FAMILIES}
        pairs = islice(cycle(FAMILIES), count)
        return [self._ends(families, transceivers[families]) for families in pairs]

    def _transceiver_socket(self, families: tuple[int, int]) -> socket.socket:
        return udp_socket(self.hosts[TRANSCEIVER], transceiver(self.slots[families], families[1]))

    def _ends(self, families: tuple[int, int], transceiver: socket.socket) -> Ends:
        client = Endpoint(topology.address(CLIENT, PUBLIC, version=families[0]), 0)
        route = mint(
            Target(1, self.slots[families], 1),
            self.keys,
            now=time.time(),
            lifetime=_ROUTE_SECONDS,
            nonce=secrets.token_bytes(4),
        )
        udp = udp_socket(self.hosts[CLIENT], client)
        return Ends(udp, vip(families[0]), transceiver, route.ufrag)

    def start(self) -> None:
        """Start the agent.

        Raises:
            LabError: It does not start.
        """
        command = (icelane(), "relay", "run", "--config", str(self.config))
        self.run(Service(RELAY_SERVICE, RELAY, command, ready="^ready"))

    def run(self, service: Service) -> None:
        """Start a service, and wait until it is ready.

        Raises:
            LabError: It does not start.
        """
        self._runner.start(service, self.hosts[service.host]).wait()

    def process(self, service: str = RELAY_SERVICE) -> Process:
        """The process of a service, by default the agent's.

        Raises:
            LabError: It is not running.
        """
        process = self._runner.process(service)
        if process is None:
            raise LabError(f"{service} is not running; start it first.")
        return process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the agent; wait for its end if the signal ends it.

        Raises:
            LabError: It is not running, or does not end.
        """
        process = self.process()
        process.signal(number)
        ends = number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
        if ends and not process.wait(_KILL_SECONDS):
            raise LabError(f"The agent survived {number.name} for {_KILL_SECONDS:.0f} s.")

    def icelane(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `icelane` with these arguments in the relay's host."""
        line = self.hosts[RELAY].command((icelane(), *arguments))
        return subprocess.run(line, check=False, capture_output=True, text=True)

    def status(self) -> dict[str, Any]:
        """The agent's status, from its admin socket."""
        return admin.ask(default_path(self.instance), "status")

    def counted(self, name: str) -> int:
        """One of the agent's own counters."""
        number: int = self.status()["counters"].get(name, 0)
        return number

    def log(self) -> list[str]:
        """The agent's log, by line."""
        return self._runner.lines(RELAY_SERVICE)

    def _write_files(self) -> None:
        keys, registry = self.directory / "keys.toml", self.directory / "registry.toml"
        keys.touch(0o600)
        write_private(keys, self.keys.dumps().encode())
        registry.write_text("\n".join(self._registry()), "utf-8")
        link = PUBLIC if self.network is ONE_ADDRESS else INTERNAL
        upstreams = [topology.address(RELAY, link, version=version) for version in (4, 6)]
        self.config.write_text(
            f"vip = {_toml([str(vip(4)), str(vip(6))])}\n"
            f"upstream = {_toml(upstreams)}\n"
            f'ports = "{PORTS}"\n'
            f"interface = {_toml(self.interfaces)}\n"
            f'keys = "{keys}"\n'
            f'registry = "{registry}"\n'
            f'dataplane = "{self.dataplane}"\n'
            f'instance = "{self.instance}"\n' + "".join(f"{line}\n" for line in self._settings),
            "utf-8",
        )

    def _registry(self) -> list[str]:
        return [
            "[[transceiver]]\ncluster = 1\ngeneration = 1\n"
            f'slot = {slot}\naddress = "{transceiver(slot, version)}"'
            for (_, version), slot in self.slots.items()
        ]

    def _remove(self) -> None:
        self._runner.stop_all()
        xdp.unload(self.instance)
        topology.destroy(self.name)
        default_path(self.instance).unlink(missing_ok=True)


def udp_socket(host: Host, local: Endpoint) -> socket.socket:
    """A UDP socket bound to an address of a host; port 0 takes any port.

    As a transceiver's, it goes on sending packets whole when it is told that they are too big.
    """
    with host.inside():
        udp = socket.socket(local.family, socket.SOCK_DGRAM)
    ignore_path_mtu(udp, local.family)
    udp.bind(local)
    return udp


def _toml(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
