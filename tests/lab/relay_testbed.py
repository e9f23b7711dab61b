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
from pathlib import Path
from typing import Any, Self

from relay.admin import transport as admin
from relay.admin.place import default_path
from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.lab import topology
from tests.lab.config import PORTS, RELAY_SERVICE, icelane
from tests.lab.errors import LabError
from tests.lab.load import RATE, SIZE, Load
from tests.lab.service import Runner, Service
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER, TWO_NICS, Network

FAMILIES = ((4, 4), (6, 6), (4, 6), (6, 4))  # IP versions of client and transceiver

_KILL_SECONDS = 5.0
_ROUTE_SECONDS = 3600.0


def vip(version: int) -> Endpoint:
    """The relay's VIP of an IP version."""
    return Endpoint(topology.address(RELAY, PUBLIC, version=version), 3478)


def transceiver(slot: int, version: int) -> Endpoint:
    """The transport address of the transceiver in a slot."""
    return Endpoint(topology.address(TRANSCEIVER, INTERNAL, version=version), 5000 + slot)


class RelayTestbed:
    """A relay between two hosts, while entered.

    Args:
        name: Unique among all labs and testbeds; the relay's instance is `lab-NAME`.
        directory: Where to write its files.
        dataplane: What the relay forwards with, xdp or userspace.
        network: Its network.

    Attributes:
        keys: The cluster's keys.
        slots: The transceiver's slot for each pair of families.
    """

    def __init__(
        self, name: str, directory: Path, dataplane: str = "xdp", network: Network = TWO_NICS
    ) -> None:
        self.name = name
        self.instance = f"lab-{name}"
        self.network = network
        self.dataplane = dataplane
        self.hosts = topology.hosts(name, network)
        self.config = directory / "relay.toml"
        self._directory = directory
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
        client_version, transceiver_version = families
        slot = self.slots[families]
        route = mint(
            Target(1, slot, 1),
            self.keys,
            now=time.time(),
            lifetime=_ROUTE_SECONDS,
            nonce=secrets.token_bytes(4),
        )
        client = Endpoint(topology.address(CLIENT, PUBLIC, version=client_version), 0)
        return Load(
            udp_socket(self.hosts[CLIENT], client),
            udp_socket(self.hosts[TRANSCEIVER], transceiver(slot, transceiver_version)),
            vip(client_version),
            route.ufrag,
            rate=rate,
            sizes=sizes,
        )

    def start(self) -> None:
        """Start the agent.

        Raises:
            LabError: It does not start.
        """
        command = (icelane(), "relay", "run", "--config", str(self.config))
        service = Service(RELAY_SERVICE, RELAY, command, ready="^ready")
        self._runner.start(service, self.hosts[RELAY]).wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the agent; wait for its end if the signal ends it.

        Raises:
            LabError: It is not running, or does not end.
        """
        process = self._runner.process(RELAY_SERVICE)
        if process is None:
            raise LabError("The agent is not running; start it first.")
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

    def log(self) -> list[str]:
        """The agent's log, by line."""
        return self._runner.lines(RELAY_SERVICE)

    def _write_files(self) -> None:
        keys, registry = self._directory / "keys.toml", self._directory / "registry.toml"
        keys.touch(0o600)
        keys.write_text(self.keys.dumps(), "utf-8")
        registry.write_text("\n".join(self._registry()), "utf-8")
        upstreams = [topology.address(RELAY, INTERNAL, version=version) for version in (4, 6)]
        self.config.write_text(
            f"vip = {_toml([str(vip(4)), str(vip(6))])}\n"
            f"upstream = {_toml(upstreams)}\n"
            f'ports = "{PORTS}"\n'
            f"interface = {_toml(self.interfaces)}\n"
            f'keys = "{keys}"\n'
            f'registry = "{registry}"\n'
            f'dataplane = "{self.dataplane}"\n'
            f'instance = "{self.instance}"\n',
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
    """A UDP socket bound to an address of a host; port 0 takes any port."""
    with host.inside():
        udp = socket.socket(local.family, socket.SOCK_DGRAM)
    udp.bind(local)
    return udp


def _toml(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
