"""The relays that were written for the comparison: their command line, and how they run."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.bench.compare.systems.opening import open_flows
from tests.bench.compare.systems.room import most_sockets
from tests.bench.compare.systems.routes import TARGET, new_route
from tests.bench.compare.testbed.system import RunningSystem
from tests.bench.compare.testbed.testbed import Testbed


@dataclass(frozen=True, slots=True)
class OwnRelay:
    """A relay that was written for the comparison.

    Attributes:
        name: What tables call it.
        compiler: The command that it is compiled with.
        package: The package that has it.
        build: Compiles it, and gives the program's path.
        max_flows: How many it can have.
    """

    name: str
    compiler: str
    package: str
    build: Callable[[], Path]
    max_flows: int = field(default_factory=most_sockets)

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if shutil.which(self.compiler) is None:
            return f"{self.compiler} is not installed: apt-get install {self.package}"
        return None

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it, on one core, with flows opened through it.

        Raises:
            LabError: It does not compile, start or open the flows.
        """
        keys = KeyRing.generate(secrets.token_bytes)
        command = relay_command(
            self.build(),
            vip=testbed.vip,
            upstream=testbed.upstreams[0],
            ports=testbed.upstream_ports,
            keys=keys,
            target=TARGET,
            transceiver=testbed.transceiver,
        )

        def new_ufrag() -> str:
            return new_route(keys).ufrag

        with testbed.start(command, ready="^ready") as started:
            opened = open_flows(testbed, testbed.vip, new_ufrag, flows)
            yield RunningSystem(opened, started.pids, new_ufrag, started.restart)


def relay_command(
    program: Path,
    *,
    vip: Endpoint,
    upstream: str,
    ports: range,
    keys: KeyRing,
    target: Target,
    transceiver: Endpoint,
) -> Sequence[str]:
    """The command line of such a relay, which serves one transceiver."""
    slots = [
        text
        for slot in sorted(keys.slots)
        for text in ("--key", f"{slot}={keys.route_key(target.cluster, slot).hex()}")
    ]
    return [
        str(program),
        *("--listen", str(vip), "--upstream", f"{upstream}:0"),
        *("--ports", f"{ports[0]}-{ports[-1]}", "--cluster", str(target.cluster)),
        *slots,
        *("--transceiver", f"{target.slot}={transceiver}"),
    ]
