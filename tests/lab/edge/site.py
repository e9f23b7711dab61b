"""The network with all that runs in it: two relays of different keys, and what is behind them."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from relay.admin import transport as admin
from relay.config.privatefiles import write_private
from relay.dataplane import xdp
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from tests.lab import topology
from tests.lab.config import icelane
from tests.lab.edge.network import (
    BACKBONE,
    CLIENT,
    CLUSTER,
    CONTROL,
    EDGE,
    EDGE_UPSTREAM,
    EDGE_VIP,
    FAR,
    HAUL,
    LINE,
    MEDIA,
    NEAR,
    RELAY,
    RELAY_UPSTREAM,
    RELAY_VIP,
    SIGNALING_ENDPOINT,
    SIGNALING_URL,
    TRANSCEIVER,
)
from tests.lab.errors import LabError
from tests.lab.line.control import Line
from tests.lab.process import BackgroundProcess
from tests.lab.service import Runner, Service
from tests.lab.topology import Network

_PORTS = "20000-29999"
_KILL_SECONDS = 5.0
_OVERTIME = 90.0  # seconds beyond its length until a call counts as hung


@dataclass(frozen=True, slots=True)
class Settings:
    """What a site is like.

    Attributes:
        name: Unique among all labs.
        dataplane: What both relays forward with.
        is_far: Whether a line is between edge and relay.
        answers: Whether calls can be placed; otherwise whatever reaches the far end comes back.
    """

    name: str
    dataplane: str = "xdp"
    is_far: bool = True
    answers: bool = True

    @property
    def network(self) -> Network:
        """The network."""
        return FAR if self.is_far else NEAR


class EdgeSite:
    """An edge, and a cluster far away, while entered.

    Args:
        settings: What it is like.
        directory: Where its files go.

    Attributes:
        hosts: By name.
        keys: The master keys of the cluster; the edge has others.
        settings: What it is like.
        line: The socket at which the line between edge and relay takes its settings.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.hosts = topology.hosts(settings.name, settings.network)
        self.keys = KeyRing.generate(secrets.token_bytes)
        self.line = directory / "line.sock"
        self.settings = settings
        self._directory = directory
        self._runner = Runner(settings.name, directory)

    def __enter__(self) -> Self:
        """Make it.

        Raises:
            LabError: Something does not start.
            NetnsError: A host cannot be created.
        """
        settings = self.settings
        topology.build(settings.name, settings.network)
        try:
            self._write_files()
            behind = (self._transceiver(),) if settings.answers else (self._echo(),)
            self._start(*behind, *((self._line(),) if settings.is_far else ()))
            signaling = (self._signaling(),) if settings.answers else ()
            self._start(*signaling, self._relay(EDGE), self._relay(RELAY))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Remove all of it."""
        self._remove()

    @property
    def edge_files(self) -> tuple[Path, ...]:
        """All files that the edge reads."""
        names = "edge.toml", "edge-keys.toml", "edge-of-cluster.toml"
        return tuple(self._directory / name for name in names)

    def set_distance(self, round_trip: float) -> None:
        """Have a round trip between edge and relay take so many seconds longer."""
        Line(self).delay(round_trip)

    def kill(self, relay: str) -> None:
        """Kill the agent of a relay; a program that it has loaded goes on.

        Raises:
            LabError: It survives.
        """
        process = self._runner.process(relay)
        if process is not None:
            process.signal(signal.SIGKILL)
            if not process.wait(_KILL_SECONDS):
                raise LabError(f"{relay} survived SIGKILL for {_KILL_SECONDS:.0f} s.")

    def start(self, relay: str) -> None:
        """Start it again."""
        self._start(self._relay(relay))

    def status(self, relay: str) -> Any:
        """What a relay's agent says at its admin socket."""
        return admin.ask(self._admin(relay), "status")

    def edge_slots(self) -> list[int]:
        """The key slots of the cluster that the edge has keys of now, as `keys check` asks it."""
        slots: list[int] = admin.ask(self._admin(EDGE), "keys")["edge"][str(CLUSTER)]
        return slots

    def relay_slots(self) -> list[int]:
        """The slots that the relay of the cluster has keys of now."""
        slots: list[int] = admin.ask(self._admin(RELAY), "keys")["slots"]
        return slots

    def signed_by(self, client: str) -> int:
        """The slot of the key that signed the route of a flow of the cluster's relay."""
        where = ("--instance", self._instance(RELAY), "--admin", str(self._admin(RELAY)))
        command = (icelane(), "flows", "show", client, "--json", *where)
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        slot: int = json.loads(shown)["route"]["key_slot"]
        return slot

    def give_cluster(self, keys: KeyRing) -> None:
        """Give the relay of the cluster and the transceiver other keys; the edge is not told."""
        self.keys = keys
        self._write("relay-keys.toml", keys.dumps())

    def give_edge(self, keys: KeyRing) -> None:
        """Give the edge its keys of the cluster's."""
        self._write("edge-of-cluster.toml", keys.exported(CLUSTER, Role.EDGE).dumps())

    def call(self, seconds: float) -> "EdgeCall":
        """A call of the client, in the background; entering places it."""
        command = (icelane(), "call", SIGNALING_URL, "--seconds", str(seconds), "--json")
        return EdgeCall(self.hosts[CLIENT].command(command), seconds)

    def log(self, service: str) -> list[str]:
        """The log of a service, by line."""
        return self._runner.lines(service)

    # How it is made

    def _start(self, *services: Service) -> None:
        for each in [self._runner.start(one, self.hosts[one.host]) for one in services]:
            each.wait()

    def _remove(self) -> None:
        self._runner.stop_all()
        for relay in (EDGE, RELAY):
            xdp.unload(self._instance(relay))
        topology.destroy(self.settings.name, self.settings.network)

    def _instance(self, relay: str) -> str:
        return f"{self.settings.name}-{relay}"

    def _admin(self, relay: str) -> Path:
        return self._directory / f"{relay}.sock"

    def _write_files(self) -> None:
        own = KeyRing.generate(secrets.token_bytes)
        self._write("edge-keys.toml", own.dumps())
        self.give_cluster(self.keys)
        self.give_edge(self.keys)
        self._write("edge.toml", f'[[cluster]]\nnumber = {CLUSTER}\nvip = "{RELAY_VIP}"\n')
        transceiver = (
            f'[[transceiver]]\ncluster = {CLUSTER}\nslot = 1\ngeneration = 1\nregion = "far"\n'
            f'address = "{MEDIA}"\ncontrol = "http://{CONTROL}"\n'
        )
        self._write("relay.toml", transceiver)
        ingresses = "".join(
            f'[[relay]]\nname = "{name}"\nregion = "{region}"\nvip = "{vip}"\n'
            for name, region, vip in (("edge", "near", EDGE_VIP), ("relay", "far", RELAY_VIP))
        )
        self._write("signaling.toml", ingresses + transceiver)
        self._write(
            "regions.toml",
            'default = "far"\n[prefixes]\n"203.0.113.0/24" = "near"\n[next]\nnear = ["far"]\n',
        )

    def _write(self, name: str, text: str) -> None:
        write_private(self._directory / name, text.encode())

    def _relay(self, relay: str) -> Service:
        vip, upstream = (EDGE_VIP, EDGE_UPSTREAM) if relay == EDGE else (RELAY_VIP, RELAY_UPSTREAM)
        command = [
            *(icelane(), "relay", "run", "--vip", str(vip), "--upstream", upstream),
            *("--ports", _PORTS, "--keys", str(self._directory / f"{relay}-keys.toml")),
            *("--registry", str(self._directory / f"{relay}.toml")),
            *("--dataplane", self.settings.dataplane, "--instance", self._instance(relay)),
            *("--admin", str(self._admin(relay))),
        ]
        if relay == EDGE:
            command += ["--edge-keys", str(self._directory / "edge-of-cluster.toml")]
        if self.settings.dataplane == "xdp":
            for name in topology.interfaces(self.settings.network, relay):
                command += ["--interface", name]
        return Service(relay, relay, tuple(command), ready="^ready")

    def _transceiver(self) -> Service:
        command = (
            *(icelane(), "transceiver", "run", "--listen", str(MEDIA), "--control", str(CONTROL)),
            *("--cluster", str(CLUSTER), "--slot", "1", "--generation", "1"),
            *("--keys", str(self._directory / "relay-keys.toml")),
        )
        return Service(TRANSCEIVER, TRANSCEIVER, command, ready="^ready")

    def _signaling(self) -> Service:
        command = (
            *(icelane(), "signaling", "run", "--listen", str(SIGNALING_ENDPOINT), "--open"),
            *("--registry", str(self._directory / "signaling.toml")),
            *("--regions", str(self._directory / "regions.toml")),
        )
        return Service("signaling", TRANSCEIVER, command, ready="^ready")

    def _line(self) -> Service:
        command = _program("tests.lab.line.forwarder", str(self.line), f"{BACKBONE}:{HAUL}")
        return Service(LINE, LINE, command, ready="^ready")

    def _echo(self) -> Service:
        command = _program("tests.lab.edge.echo", str(MEDIA))
        return Service("echo", TRANSCEIVER, command, ready="^ready")


def _program(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of the tests."""
    # The services run in the root directory, where Python would not find it.
    path = f"PYTHONPATH={Path(__file__).parent.parent.parent.parent}"
    return ("env", path, sys.executable, "-m", module, *arguments)


class EdgeCall(BackgroundProcess):
    """A call in the background; entering places it, leaving ends it.

    Args:
        command: Its command.
        seconds: How long it lasts.
    """

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        super().__init__(list(command))
        self._limit = seconds + _OVERTIME

    def report(self) -> dict[str, Any]:
        """Wait for the call's end and return its report, which has `ok` and maybe `error`.

        Raises:
            LabError: It does not end, or ended without a report.
        """
        if not self.wait(self._limit):
            raise LabError(f"The call has not ended after {self._limit:.0f} s.")
        try:
            report: dict[str, Any] = json.loads(self.output())
        except ValueError:
            raise LabError(f"The call ended without a report: {self.last_error_line()}") from None
        return report
