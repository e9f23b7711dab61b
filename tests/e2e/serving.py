"""A running `icelane up` with its own agent, for clients of the API."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.netns.host import Host
from tests.e2e.test_up import up
from tests.lab.config import icelane
from tests.ports import free_port

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Served:
    """What serves.

    Attributes:
        url: The base URL of its API.
        certificate: What signs it, if it is of HTTPS.
        instance: Its name.
    """

    url: str
    certificate: Path
    instance: str


@contextmanager
def serving(state: Path, *options: str, tls: bool, relay: Host | None = None) -> Iterator[Served]:
    """Run it until the context ends, on the loopback or in a relay's host.

    Args:
        state: A directory for its certificate.
        options: Further ones.
        tls: Whether it serves HTTPS, with a certificate of its own.
        relay: The host in which it runs.
    """
    address = "203.0.113.10" if relay else "127.0.0.1"
    listen = f"{address}:{free_port()}"
    # Several may run at once; an interface's name has room for seven characters of it.
    instance = f"a{next(_numbers) % 10}-{os.getpid() % 10_000}"
    command = ["env", f"XDG_STATE_HOME={state}", icelane(), "up", "--listen", listen]
    command += ["--vip", f"{address}:{free_port()}", "--instance", instance]
    command += ["--tls-self-signed"] if tls else []
    command += options
    with up(relay.command(command) if relay else command):
        certificate = state / "icelane" / "self-signed.pem"
        yield Served(f"{'https' if tls else 'http'}://{listen}/v1", certificate, instance)
