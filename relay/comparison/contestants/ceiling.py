"""The ceiling: bare XDP, which looks up no flow and translates no address."""

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from relay.comparison.arena import MOST_FLOWS, Arena
from relay.comparison.contestants.flows import straight
from relay.comparison.contestants.routing import forwarding
from relay.comparison.model import Running
from relay.comparison.traffic.ends import attached
from relay.lab.errors import LabError
from relay.lab.topology import INTERNAL, PUBLIC, RELAY


class Ceiling:
    """An XDP program that asks the kernel for the next hop and redirects there."""

    name = "ceiling"
    most_flows = MOST_FLOWS

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if importlib.util.find_spec("bcc") is None:
            return "BCC is not installed: apt-get install python3-bpfcc"
        return None

    @contextmanager
    def running(self, arena: Arena, flows: int) -> Iterator[Running]:
        """Run it on both interfaces; it knows no flows, so none have to be opened.

        Raises:
            LabError: The program cannot be built or attached.
        """
        relay = arena.hosts[RELAY]
        with (
            forwarding(arena),  # without, the lookup says that nothing is forwarded
            attached(relay, PUBLIC, _program()),
            attached(relay, INTERNAL, _program()),
        ):
            yield Running(straight(arena, flows))


@cache
def _program() -> int:
    """The program's descriptor, which stays open as long as this process runs."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.run(
            [sys.executable, "-m", f"{__package__}.ceiling_build", str(theirs.fileno())],
            check=False,
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
        )
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 16, 1)
    if child.returncode != 0:
        raise LabError(child.stderr.strip().rpartition("\n")[2])
    return fds[0]
