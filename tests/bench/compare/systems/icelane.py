"""Icelane itself, in both modes."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.xdp import XdpDataplane
from relay.run.config import DEFAULT_SETUP_RATE
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.bench.compare.systems.flows import NumberedFlows
from tests.bench.compare.systems.opening import open_flows
from tests.bench.compare.systems.routes import TARGET, new_route
from tests.bench.compare.testbed.bpfbuild import missing_bcc
from tests.bench.compare.testbed.system import Flow, Leg, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.relayfiles import Setting, write_relay_files
from tests.lab.config import icelane
from tests.lab.errors import LabError
from tests.lab.topology import INTERNAL, PUBLIC, RELAY

MAX_CHECKED = 10_000  # flows that are opened by real checks; more would take minutes

_IDLE_SECONDS = 3600  # no flow ends while it waits for its benchmark
_MIN_ROOM = 65_536  # flows that a relay has room for unless told otherwise


@dataclass(frozen=True, slots=True)
class Icelane:
    """Icelane with one of its dataplanes.

    Attributes:
        name: What tables call it.
        dataplane: What forwards confirmed flows, xdp or userspace.
        max_flows: How many flows it can be made to have.
        workers: How many processes forward; one core each.
    """

    name: str
    dataplane: str
    max_flows: int
    workers: int = 1

    def missing(self) -> str | None:
        """Why it cannot be measured on this machine."""
        return missing_bcc()

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it with flows opened through it, or taken over from an agent before it.

        Raises:
            LabError: It does not start, or does not open the flows.
        """
        setup = _Setup(testbed, self.dataplane, max(flows, _MIN_ROOM))
        command = setup.command("run")
        if self.workers > 1:
            command += ["--workers", str(self.workers)]
        try:
            opened = setup.install(flows) if flows > MAX_CHECKED else None
            with testbed.start(command, ready="^ready", cores=self.workers) as started:
                if opened is None:
                    opened = open_flows(testbed, testbed.vip, setup.new_ufrag, flows)
                yield RunningSystem(opened, started.pids, setup.new_ufrag)
        finally:
            xdp.unload(setup.instance)


class _Setup:
    """A relay's configuration, and the flows that it can be given."""

    def __init__(self, testbed: Testbed, dataplane: str, max_flows: int) -> None:
        self.instance = f"bench-{os.getpid()}"
        self._testbed = testbed
        self._ports = testbed.upstream_ports
        self._keys = KeyRing.generate(secrets.token_bytes)
        self.route = new_route(self._keys)
        settings: dict[str, Setting] = {
            "vip": str(testbed.vip),
            "upstream": list(testbed.upstreams),
            "ports": f"{self._ports[0]}-{self._ports[-1]}",
            "interface": [PUBLIC, INTERNAL],
            "mode": "native",
            "dataplane": dataplane,
            "instance": self.instance,
            "max_flows": max_flows,
            "idle": _IDLE_SECONDS,
            # All its clients have one address.
            "setup_rate_per_prefix": DEFAULT_SETUP_RATE,
        }
        self._config = write_relay_files(
            testbed.directory, self._keys, TARGET, testbed.transceiver, settings
        )

    def command(self, verb: str) -> list[str]:
        """The command line of `icelane relay`."""
        return [icelane(), "relay", verb, "--config", str(self._config)]

    def new_ufrag(self) -> str:
        """The ufrag of one more session."""
        return new_route(self._keys).ufrag

    def install(self, count: int) -> Sequence[Flow]:
        """Load the program with flows in it, as an agent leaves them to the next one.

        Raises:
            LabError: The program cannot be loaded.
            DataplaneError: The kernel refuses the flows.
        """
        line = self._testbed.hosts[RELAY].command(self.command("load"))
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"Icelane does not load its program: {done.stderr.strip()}")
        testbed, raw = self._testbed, self.route.raw
        with closing(XdpDataplane(self.instance)) as dataplane:
            for number in range(count):
                client, upstream = testbed.client(number), self._upstream(number)
                dataplane.install(
                    FlowTuple(client, testbed.vip, upstream, testbed.transceiver, raw)
                )
        return NumberedFlows(count, self._flow)

    def _upstream(self, number: int) -> Endpoint:
        host, port = divmod(number, len(self._ports))
        return Endpoint(self._testbed.upstreams[host], self._ports[port])

    def _flow(self, number: int) -> Flow:
        testbed = self._testbed
        to_transceiver = Leg(testbed.client(number), testbed.vip)
        return Flow(to_transceiver, Leg(testbed.transceiver, self._upstream(number)))
