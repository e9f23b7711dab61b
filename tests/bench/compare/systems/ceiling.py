"""The ceiling: bare XDP, which looks up no flow and translates no address."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from tests.bench.compare.bpfbuild import Build, built
from tests.bench.compare.model import Running
from tests.bench.compare.systems.build import HERE
from tests.bench.compare.systems.flows import straight
from tests.bench.compare.systems.routing import forwarding
from tests.bench.compare.testbed import MOST_FLOWS, Arena
from tests.bench.compare.traffic.ends import attached
from tests.lab.topology import INTERNAL, PUBLIC, RELAY


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
    return built(Build(str(HERE), ("ceiling.bpf.c",), ("ceiling",)))["ceiling"]
