"""The relays that were written for the comparison: what they are told, and how they run."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import NONCE_SIZE, Target, mint
from tests.bench.compare.model import Running
from tests.bench.compare.opening import open_flows
from tests.bench.compare.testbed import Arena

TARGET = Target(cluster=1, slot=1, generation=1)

_ROUTE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class OwnRelay:
    """A relay that was written for the comparison.

    Attributes:
        name: What tables call it.
        compiler: The command that it is compiled with.
        package: The package that has it.
        build: Compiles it, and gives the program's path.
        options: More of its options.
        most_flows: As many as one upstream address has ports.
    """

    name: str
    compiler: str
    package: str
    build: Callable[[], Path]
    options: tuple[str, ...] = ()
    most_flows: int = 50_000

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if shutil.which(self.compiler) is None:
            return f"{self.compiler} is not installed: apt-get install {self.package}"
        return None

    @contextmanager
    def running(self, arena: Arena, flows: int) -> Iterator[Running]:
        """Run it, on one core, with flows opened through it.

        Raises:
            LabError: It does not compile, start or open the flows.
        """
        keys = KeyRing.generate(secrets.token_bytes)
        command = relay_command(
            self.build(),
            vip=arena.vip,
            upstream=arena.upstreams[0],
            ports=arena.upstream_ports,
            keys=keys,
            target=TARGET,
            transceiver=arena.transceiver,
        )

        def new_ufrag() -> str:
            nonce = secrets.token_bytes(NONCE_SIZE)
            return mint(TARGET, keys, now=time.time(), lifetime=_ROUTE_SECONDS, nonce=nonce).ufrag

        with arena.start([*command, *self.options], ready="^ready") as started:
            opened = open_flows(arena, arena.vip, new_ufrag(), flows)
            yield Running(opened, (started.pid,), new_ufrag, started.again)


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
