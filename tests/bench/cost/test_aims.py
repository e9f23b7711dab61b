"""Which aims a run has figures for, and which it meets."""

import pytest

from tests.bench.cost.aims import Aim, aims
from tests.bench.cost.cost import Cost
from tests.bench.cost.dataplane import Result
from tests.bench.cost.kinds import TO_CLIENT, TO_TRANSCEIVER, hit
from tests.bench.cost.live import KPPS, NANOSECONDS, Live
from tests.bench.cost.memory import ALL_MAPS, Memory, Reading, Scan
from tests.bench.cost.site import IPV4, IPV6


def cost(packet: str, way: str, least: float, flows: int = 1_000) -> Cost:
    return Cost(flows, packet, way, least, least + 1, least + 100, 900, 901, 902)


def only(*results: Result) -> Aim:
    (aim,) = aims(results)
    return aim


@pytest.mark.parametrize(
    ("result", "met"),
    [
        (cost(hit(IPV4), TO_TRANSCEIVER, 75), True),  # by the least
        (cost(hit(IPV4), TO_TRANSCEIVER, 76), False),
        (cost(hit(IPV4), TO_CLIENT, 55), True),
        (cost(hit(IPV4), TO_CLIENT, 56), False),
        (cost(hit(IPV4), TO_CLIENT, 130, 40_000), True),
        (cost(hit(IPV4), TO_CLIENT, 361, 1_000_000), False),
        (Live(100, KPPS, 85, 100, 0.5, 0.85, 0.9), True),  # by the median
        (Live(40_000, KPPS, 49, 100, 0.4, 0.49, 0.9), False),
        (Live(1_000_000, KPPS, 45, 100, 0.4, 0.45, 0.9), True),
        (Live(100, NANOSECONDS, 201, 100, 2.01, 2.3, 3.0), False),
        (Memory(IPV4.name, 1_000_000, ALL_MAPS, 110_000_000, 110.0), True),
        (Memory(IPV6.name, 1_000_000, ALL_MAPS, 161_000_000, 161.0), False),
        (Scan(1_000_000, 0.2, 0.3, 0.4, 0.1), True),
        (Reading(100_000, 1_000_000, 0.2, 0.31, 0.4), False),
    ],
)
def test_a_figure_meets_its_aim_or_misses_it(result: Result, met: bool) -> None:
    assert only(result).met is met


def test_ipv6_is_compared_with_ipv4_of_the_same_flows_and_way_by_medians() -> None:
    four, six = cost(hit(IPV4), TO_CLIENT, 39), cost(hit(IPV6), TO_CLIENT, 51)
    others = cost(hit(IPV4), TO_TRANSCEIVER, 10), cost(hit(IPV4), TO_CLIENT, 10, 40_000)
    (ratio,) = (each for each in aims([four, six, *others]) if "IPv6" in each.figure)
    assert (ratio.value, ratio.met) == (1.3, True)  # 52 and 40
    assert ratio.min < ratio.value < ratio.max


@pytest.mark.parametrize(
    "result",
    [
        cost(hit(IPV4), TO_CLIENT, 10, 7),
        cost("constant NAT", TO_CLIENT, 10),
        cost(hit(IPV6), TO_CLIENT, 10),  # with nothing to compare it with
        Live(7, KPPS, 85, 100, 0.5, 0.85, 0.9),
        Live(100, NANOSECONDS, -201, 100, -2.01, 2.3, 3.0),
        Live(100, NANOSECONDS, -201, -100, 2.01, 2.3, 3.0),
        Memory(IPV4.name, 40_000, "hops", 100, 1.0),
        Memory(IPV4.name, 1_000, ALL_MAPS, 100_000, 100.0),
        Scan(40_000, 0.2, 0.3, 0.4, 0.1),
        Reading(40_000, 40_000, 0.2, 0.3, 0.4),
    ],
)
def test_other_figures_have_no_aim(result: Result) -> None:
    assert not aims([result])


def test_memory_is_judged_where_there_are_most_flows() -> None:
    few = Memory(IPV4.name, 40_000, ALL_MAPS, 12_000_000, 300.0)
    many = Memory(IPV4.name, 1_000_000, ALL_MAPS, 100_000_000, 100.0)
    assert only(few, many).value == 100
