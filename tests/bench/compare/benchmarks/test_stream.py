"""Questions asked of plain kernel forwarding, at the smallest scale: every figure is there."""

import pytest

from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.latency import Latency
from tests.bench.compare.benchmarks.overload import Overload
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.model import Leg, Measurement, OpenFlow, Question, Running
from tests.bench.compare.testbed import Arena
from tests.lab.errors import LabError

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

SECONDS = 0.1


@pytest.fixture
def running(routed: Arena) -> Running:
    far = routed.transceiver
    clients = [routed.client(number) for number in range(4)]
    return Running([OpenFlow(Leg(each, far), Leg(far, each)) for each in clients])


@pytest.fixture
def unforwarded(routed: Arena) -> Running:
    flow = OpenFlow(Leg(routed.client(0), routed.vip), Leg(routed.transceiver, routed.vip))
    return Running([flow])


def asked(question: Question, arena: Arena, running: Running) -> dict[str, list[Measurement]]:
    """The measurements by metric."""
    by_metric: dict[str, list[Measurement]] = {}
    for measurement in question.ask(arena, "routing", running):
        assert (measurement.question, measurement.contestant) == (question.name, "routing")
        by_metric.setdefault(measurement.metric, []).append(measurement)
    return by_metric


def test_rate_and_overload(routed: Arena, running: Running) -> None:
    rate = Rate(flows=(4,), payloads=(160, 1200), seconds=SECONDS)
    figures = asked(rate, routed, running)
    assert [each.parameters for each in figures["kpps"]] == [
        {"payload": 160, "flows": 4},
        {"payload": 1200, "flows": 4},
    ]
    assert all(each.value > 0 for each in figures["kpps"])
    assert {each.value for each in figures["limited"]} <= {0.0, 1.0}
    assert rate.find(routed, running, 160).rate == 1000 * figures["kpps"][0].value
    figures = asked(Overload(rate, flows=(4,), seconds=SECONDS), routed, running)
    assert {name: len(found) for name, found in figures.items()} == {
        "load": 1,
        "delivered_percent": 1,
        "kpps": 1,
    }
    assert 0 < figures["delivered_percent"][0].value <= 100


def test_a_rate_is_searched_for_again_for_another_contestant(
    routed: Arena, running: Running, unforwarded: Running
) -> None:
    rate = Rate(flows=(4,), payloads=(160,), seconds=SECONDS)
    assert rate.find(routed, running, 160) is rate.find(routed, running, 160)
    with pytest.raises(LabError, match="Nothing passes"):
        rate.find(routed, unforwarded, 160)


def test_cpu(routed: Arena, running: Running) -> None:
    figures = asked(Cpu(flows=(4,), seconds=4 * SECONDS), routed, running)
    (cost,) = figures["ns_per_packet"]
    assert cost.parameters == {"payload": 160, "flows": 4}
    assert set(figures) == {"ns_per_packet", "ns_without_relay", "delivered_percent"}


def test_latency(routed: Arena, running: Running) -> None:
    figures = asked(Latency(flows=(4,), seconds=SECONDS), routed, running)
    assert [(each.parameters["path"], each.parameters["load"]) for each in figures["p50_us"]] == [
        (path, load)
        for path in ("to transceiver", "to client", "round trip")
        for load in ("idle", "50 kpps")
    ]
    rows = zip(*(figures[name] for name in ("p50_us", "p99_us", "p999_us", "max_us")), strict=True)
    for row in rows:
        values = [each.value for each in row]
        assert values[0] > 0
        assert values == sorted(values)


@pytest.mark.parametrize(
    "question", [Rate((1,), (160,), SECONDS), Cpu((1,)), Latency((1,))], ids=lambda each: each.name
)
def test_that_nothing_passes_is_told(
    routed: Arena, unforwarded: Running, question: Question
) -> None:
    with pytest.raises(LabError, match="Nothing passes"):
        list(question.ask(routed, "nobody", unforwarded))
