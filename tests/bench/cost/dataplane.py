"""The benchmark of the XDP dataplane, from one size to the next."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.cost import cost, live, memory
from tests.bench.cost.driver import Driver
from tests.bench.cost.site import FAMILIES, IPV4, Site, site

READ = 100_000  # flows that are read with their counters, at the most

Result = (
    cost.Cost
    | memory.Filling
    | memory.Memory
    | memory.Scan
    | memory.Reading
    | memory.Agent
    | live.Live
)

_TOGETHER = 100_000  # numbers of flows up to which one relay has room for all of them


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        flows: Numbers of flows to measure with.
        effort: How much of a packet's cost.
        live: How much of live packets; None for nothing.
        agent: Whether an agent takes the flows over.
    """

    flows: Sequence[int]
    effort: cost.Effort
    live: live.Effort | None
    agent: bool = True


FULL = Plan(
    flows=(1, 1_000, 40_000, 1_000_000),
    effort=cost.Effort(packets=200_000, bursts=3, repeats=7),
    live=live.Effort(
        flows=(100, 1_000, 40_000, 1_000_000), rounds=3, rate_seconds=0.2, cpu_seconds=0.5
    ),
)

QUICK = Plan(
    flows=(1_000, 40_000),
    effort=cost.Effort(packets=100_000, bursts=2, repeats=2),
    live=live.Effort(flows=(1_000,), rounds=2, rate_seconds=0.05, cpu_seconds=0.0),
)


def run(plan: Plan, progress: Callable[[str], None]) -> Iterator[Result]:
    """Measure, one result after the other.

    Args:
        plan: What to measure.
        progress: Called with a line about what comes next.

    Raises:
        DataplaneError: The program cannot be loaded, or does something unexpected.
        LabError: The kernel refuses a namespace, or a program cannot be built.
    """
    with Driver() as driver:
        for flows in _by_room(plan.flows):
            yield from _relays(plan, driver, flows, progress)
    if plan.live:
        for number in plan.live.flows:
            progress(f"live packets, flows: {number:,}")
            yield from live.measure(plan.live, number)


def _by_room(flows: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of flows that one relay has, one after the other: it would look up slower if it
    had room for many more."""
    few = sorted(number for number in flows if number <= _TOGETHER)
    if few:
        yield few
    yield from ([number] for number in sorted(flows) if number > _TOGETHER)


def _relays(
    plan: Plan,
    driver: Driver,
    numbers: Sequence[int],
    progress: Callable[[str], None],
) -> Iterator[Result]:
    """What relays cost that have more and more flows: one of each family, measured in turn."""
    with ExitStack() as stack:
        sites = [stack.enter_context(site(family, numbers[-1])) for family in FAMILIES]
        before = 0
        for flows in numbers:
            progress(f"flows: {flows:,}")
            for made in sites:
                yield memory.fill(made, before, flows)
            yield from cost.measure(sites, driver, flows, plan.effort)
            before = flows
        for made in sites:
            yield from memory.map_memory(made, before)
        yield from _agents_part(plan, sites[FAMILIES.index(IPV4)], before, progress)


def _agents_part(
    plan: Plan, made: Site, flows: int, progress: Callable[[str], None]
) -> Iterator[Result]:
    """What an agent does with all flows."""
    yield memory.scan(made)
    yield memory.reading(made, min(flows, READ))
    if plan.agent:
        progress(f"an agent, flows: {flows:,}")
        yield memory.agent(made, flows)
