"""The FIB ceiling: XDP that asks for the next hop, and neither finds flows nor translates."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from tests.bench.compare.systems.build import HERE
from tests.bench.compare.systems.flows import straight
from tests.bench.compare.systems.routing import forwarding
from tests.bench.compare.testbed.bpfbuild import Build, built, missing_bcc
from tests.bench.compare.testbed.system import RunningSystem
from tests.bench.compare.testbed.testbed import MOST_FLOWS, Testbed
from tests.bench.compare.traffic.attach import attached
from tests.lab.topology import INTERNAL, PUBLIC, RELAY


class Ceiling:
    """An XDP program that asks the kernel for the next hop and redirects there."""

    name = "FIB ceiling"
    max_flows = MOST_FLOWS

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        return missing_bcc()

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it on both interfaces; it knows no flows, so none have to be opened.

        Raises:
            LabError: The program cannot be built or attached.
        """
        relay = testbed.hosts[RELAY]
        with (
            forwarding(testbed),  # without, the lookup says that nothing is forwarded
            attached(relay, PUBLIC, program()),
            attached(relay, INTERNAL, program()),
        ):
            yield RunningSystem(straight(testbed, flows))


@cache
def program() -> int:
    """The program's descriptor, which stays open as long as this process runs."""
    return built(Build(str(HERE), ("ceiling.bpf.c",), ("ceiling",)))["ceiling"]
