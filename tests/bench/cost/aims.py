"""What the XDP dataplane aims at, and what a run says about it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.compare.report.targets import CPU_BOUND, RATE_BOUNDS
from tests.bench.cost.cost import Cost
from tests.bench.cost.dataplane import READ, Result
from tests.bench.cost.kinds import TO_CLIENT, TO_TRANSCEIVER, hit
from tests.bench.cost.live import KPPS, Live
from tests.bench.cost.memory import ALL_MAPS, Memory, Reading, Scan
from tests.bench.cost.site import IPV4, IPV6

Spread = tuple[float, float, float]  # least, median, most

_HIT_NS = {  # by number of flows
    1_000: {TO_TRANSCEIVER: 75, TO_CLIENT: 55},
    40_000: {TO_TRANSCEIVER: 130, TO_CLIENT: 130},
    1_000_000: {TO_TRANSCEIVER: 360, TO_CLIENT: 360},
}
_IPV6_TO_IPV4 = 1.3
_BYTES = {IPV4.name: 110, IPV6.name: 160}  # of a flow in all maps
_LEAST_FLOWS = (
    40_000  # with fewer, the maps that are the same for any number are most of the memory
)
_SCAN_SECONDS, _SCANNED = 0.3, 1_000_000
_READ_SECONDS = 0.3  # for `READ` flows


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be at most, or at least; and what it is.

    Attributes:
        figure: What people read.
        bound: The limit.
        at_least: Whether the limit is a lower one.
        digits: Digits after the decimal point.
        value: What is compared with the limit: the least time of a packet, as what else the machine
            does can only make it longer; of all else the median.
        min: The least that was measured.
        median: The median.
        max: The most.
        met: Whether the value is within the limit.
    """

    figure: str
    bound: float
    at_least: bool
    digits: int
    value: float
    min: float
    median: float
    max: float
    met: bool


def aims(results: Sequence[Result]) -> list[Aim]:
    """The aims for which there are figures."""
    costs = [each for each in results if isinstance(each, Cost)]
    return [
        *_hits(costs),
        *_families(costs),
        *_live([each for each in results if isinstance(each, Live)]),
        *_memory([each for each in results if isinstance(each, Memory)]),
        *_reading(results),
    ]


def _hits(costs: Sequence[Cost]) -> Iterator[Aim]:
    for each in costs:
        bounds = _HIT_NS.get(each.flows)
        if bounds and each.packet == hit(IPV4):
            figure = f"{each.packet}, {each.flows:,} flows, {each.way} (ns)"
            spread = each.min, each.median, each.max
            yield _at_most(figure, bounds[each.way], spread, value=each.min)


def _families(costs: Sequence[Cost]) -> Iterator[Aim]:
    """IPv6 beside IPv4, by the medians: both had packets in turn, so that all else met both."""
    ipv4 = {(each.flows, each.way): each for each in costs if each.packet == hit(IPV4)}
    for each in costs:
        other = ipv4.get((each.flows, each.way))
        if each.packet == hit(IPV6) and each.flows in _HIT_NS and other and other.min > 0:
            ratio = each.median / other.median
            ends = each.min / other.min, each.max / other.max, ratio
            figure = f"IPv6 hit / IPv4 hit, {each.flows:,} flows, {each.way}"
            spread = min(ends), ratio, max(ends)
            yield _at_most(figure, _IPV6_TO_IPV4, spread, digits=2)


def _live(measured: Sequence[Live]) -> Iterator[Aim]:
    for each in measured:
        spread = each.min, each.median, each.max
        if min(each.icelane, each.constant_nat) <= 0:
            continue  # what else the machine did was more
        if each.figure != KPPS:
            figure = f"processor time / constant NAT's, {each.flows:,} flows, 50 kpps"
            least = each.icelane / each.constant_nat
            yield _at_most(figure, CPU_BOUND, spread, value=least, digits=2)
        elif each.flows in RATE_BOUNDS:
            bound = RATE_BOUNDS[each.flows]
            figure = f"loss-free kpps / constant NAT's, {each.flows:,} flows"
            yield Aim(figure, bound, True, 2, each.median, *spread, met=each.median >= bound)


def _memory(measured: Sequence[Memory]) -> Iterator[Aim]:
    most = max([_LEAST_FLOWS, *(each.flows for each in measured)])
    for each in measured:
        if each.map == ALL_MAPS and each.flows == most and each.family in _BYTES:
            figure = f"memory of a flow, {each.family}, {each.flows:,} flows (bytes)"
            yield _at_most(figure, _BYTES[each.family], (each.per_flow,) * 3)


def _reading(results: Sequence[Result]) -> Iterator[Aim]:
    for each in results:
        if isinstance(each, Scan) and each.flows == _SCANNED:
            figure = f"idle scan of {each.flows:,} flows (s)"
            yield _at_most(figure, _SCAN_SECONDS, (each.min, each.median, each.max), digits=3)
        if isinstance(each, Reading) and each.flows == READ:
            figure = f"counters of {each.flows:,} flows read, of {each.of:,} (s)"
            yield _at_most(figure, _READ_SECONDS, (each.min, each.median, each.max), digits=3)


def _at_most(
    figure: str, bound: float, spread: Spread, *, value: float | None = None, digits: int = 0
) -> Aim:
    judged = spread[1] if value is None else value
    return Aim(figure, bound, False, digits, judged, *spread, met=judged <= bound)
