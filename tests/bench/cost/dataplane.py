"""The benchmark of the XDP dataplane, from one size to the next."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from relay.core.flowtuple import FlowTuple
from relay.dataplane.kernel.config import DEFAULT_MAX_FLOWS
from relay.dataplane.xdp import XdpDataplane
from relay.wire.route import Route
from tests.bench.cost import cost, memory
from tests.bench.cost.site import Site, narrow, site, wide

Result = cost.Cost | memory.Memory | memory.Scan | memory.Agent


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        flows: Numbers of flows to measure with, even ones. There is room for at least
            as many as by default; where the maps are full, their memory is measured, too.
        packets: How many packets of each kind are measured.
        agent: How many flows an agent takes over; 0 for no agent.
    """

    flows: Sequence[int] = (1_000, 10_000, DEFAULT_MAX_FLOWS, 100_000, 1_000_000)
    packets: int = 10_000
    agent: int = DEFAULT_MAX_FLOWS


def run(plan: Plan, progress: Callable[[str], None]) -> Iterator[Result]:
    """Measure, one result after the other.

    Args:
        plan: What to measure.
        progress: Called with a line about what comes next.

    Raises:
        DataplaneError: The program cannot be loaded, or does something unexpected.
        LabError: The kernel refuses a namespace.
    """
    for flows in plan.flows:
        progress(f"{flows:,} flows")
        with site(2 * max(DEFAULT_MAX_FLOWS, flows)) as made:
            _fill(made, narrow, flows)
            _fill(made, wide, flows)
            yield from cost.measure(made, flows, plan.packets)
            if 2 * flows == made.max_flows:
                for name in ("flows4", "flows"):
                    yield memory.map_memory(made, name, flows)
                yield memory.scan(made)
    if plan.agent:
        progress(f"an agent with {plan.agent:,} flows")
        with site(2 * max(DEFAULT_MAX_FLOWS, plan.agent)) as made:
            _fill(made, narrow, plan.agent)
            yield memory.agent(made, plan.agent)


def _fill(made: Site, flow: Callable[[int, Route], FlowTuple], count: int) -> None:
    """Install flows in random order, so that none lies beside the next one in memory."""
    numbers = list(range(count))
    random.Random(count).shuffle(numbers)  # it only mixes
    with closing(XdpDataplane(made.instance)) as dataplane:
        for number in numbers:
            dataplane.install(flow(number, made.route))
