"""Icelane itself, in both modes."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.xdp import XdpDataplane
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from tests.bench.compare.model import Leg, OpenFlow, Running
from tests.bench.compare.opening import open_flows
from tests.bench.compare.systems.flows import NumberedFlows
from tests.bench.compare.systems.processes import family
from tests.bench.compare.testbed import Arena
from tests.lab.errors import LabError
from tests.lab.plan import icelane
from tests.lab.topology import INTERNAL, PUBLIC, RELAY

MOST_CHECKED = 10_000  # flows that are opened by real checks; more would take minutes

_TARGET = Target(cluster=1, slot=1, generation=1)
_ROUTE_SECONDS = 3600.0
_IDLE_SECONDS = 3600  # no flow ends while it waits for its question
_LEAST_ROOM = 65_536  # flows that a relay has room for unless told otherwise


@dataclass(frozen=True, slots=True)
class Icelane:
    """Icelane with one of its dataplanes.

    Attributes:
        name: What tables call it.
        dataplane: What forwards confirmed flows, xdp or userspace.
        most_flows: How many flows it can be made to have.
        workers: How many processes forward; one core each.
    """

    name: str
    dataplane: str
    most_flows: int
    workers: int = 1

    def missing(self) -> str | None:
        """Nothing that the traffic's own programs do not need as well."""
        return None

    @contextmanager
    def running(self, arena: Arena, flows: int) -> Iterator[Running]:
        """Run it with flows opened through it, or taken over from an agent before it.

        Raises:
            LabError: It does not start, or does not open the flows.
        """
        setup = _Setup(arena, self.dataplane, max(flows, _LEAST_ROOM))
        command = setup.command("run")
        if self.workers > 1:
            command = [*command, "--workers", str(self.workers)]
        try:
            opened = setup.install(flows) if flows > MOST_CHECKED else None
            with arena.start(command, ready="^ready", cores=self.workers) as started:
                if opened is None:
                    opened = open_flows(arena, arena.vip, setup.route.ufrag, flows)
                yield Running(opened, family(started.pid), setup.new_ufrag)
        finally:
            xdp.unload(setup.instance)


class _Setup:
    """A relay's files, and what they hold."""

    def __init__(self, arena: Arena, dataplane: str, max_flows: int) -> None:
        self.instance = f"comparison-{os.getpid()}"
        self._arena = arena
        self._ports = arena.upstream_ports
        keys = self._keys = KeyRing.generate(secrets.token_bytes)
        self.route = _mint(keys)
        self._config = arena.directory / "relay.toml"
        files = {name: arena.directory / f"{name}.toml" for name in ("keys", "registry")}
        files["keys"].write_text(keys.dumps(), encoding="ascii")
        files["registry"].write_text(
            f"[[transceiver]]\ncluster = {_TARGET.cluster}\nslot = {_TARGET.slot}\n"
            f'generation = {_TARGET.generation}\naddress = "{arena.transceiver}"\n',
            encoding="ascii",
        )
        settings = {
            "vip": str(arena.vip),
            "upstream": list(arena.upstreams),
            "ports": f"{self._ports[0]}-{self._ports[-1]}",
            "interface": [PUBLIC, INTERNAL],
            "mode": "native",
            "keys": str(files["keys"]),
            "registry": str(files["registry"]),
            "dataplane": dataplane,
            "instance": self.instance,
            "admin": str(arena.directory / "admin.sock"),
            "max_flows": max_flows,
            "idle": _IDLE_SECONDS,
        }
        # Texts, numbers and lists of texts are alike in TOML and Python, but for the quotes.
        text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
        self._config.write_text(text, encoding="ascii")

    def command(self, verb: str) -> Sequence[str]:
        """The command line of `icelane relay`."""
        return [icelane(), "relay", verb, "--config", str(self._config)]

    def new_ufrag(self) -> str:
        """The ufrag of one more session."""
        return _mint(self._keys).ufrag

    def install(self, count: int) -> Sequence[OpenFlow]:
        """Load the program with flows in it, as an agent leaves them to the next one.

        Raises:
            LabError: The program cannot be loaded.
            DataplaneError: The kernel refuses the flows.
        """
        line = self._arena.hosts[RELAY].command(self.command("load"))
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"Icelane does not load its program: {done.stderr.strip()}")
        arena, raw = self._arena, self.route.raw
        with closing(XdpDataplane(self.instance)) as dataplane:
            for number in range(count):
                client, upstream = arena.client(number), self._upstream(number)
                dataplane.install(FlowTuple(client, arena.vip, upstream, arena.transceiver, raw))
        return NumberedFlows(count, self._flow)

    def _upstream(self, number: int) -> Endpoint:
        host, port = divmod(number, len(self._ports))
        return Endpoint(self._arena.upstreams[host], self._ports[port])

    def _flow(self, number: int) -> OpenFlow:
        arena = self._arena
        to_transceiver = Leg(arena.client(number), arena.vip)
        return OpenFlow(to_transceiver, Leg(arena.transceiver, self._upstream(number)))


def _mint(keys: KeyRing) -> Route:
    return mint(
        _TARGET, keys, now=time.time(), lifetime=_ROUTE_SECONDS, nonce=secrets.token_bytes(4)
    )
