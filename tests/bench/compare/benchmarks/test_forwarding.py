"""Probes of plain kernel forwarding, at the smallest scale: every figure is there."""

import pytest

from tests.bench.compare.benchmarks.benchmark import Measurement
from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.forwarding import Probe, forwarding
from tests.bench.compare.benchmarks.latency import Latency
from tests.bench.compare.benchmarks.overload import Overload
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.routing import Routing
from tests.bench.compare.testbed.system import Flow, Leg, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.errors import LabError

pytestmark = [pytest.mark.bpf, pytest.mark.netns, pytest.mark.alone]

SECONDS = 0.1


@pytest.fixture
def running(routed: Testbed) -> RunningSystem:
    far = routed.transceiver
    clients = [routed.client(number) for number in range(4)]
    return RunningSystem([Flow(Leg(each, far), Leg(far, each)) for each in clients])


@pytest.fixture
def unforwarded(routed: Testbed) -> RunningSystem:
    flow = Flow(Leg(routed.client(0), routed.vip), Leg(routed.transceiver, routed.vip))
    return RunningSystem([flow])


def measured(
    probe: Probe, testbed: Testbed, running: RunningSystem
) -> dict[str, list[Measurement]]:
    """The measurements by metric."""
    by_metric: dict[str, list[Measurement]] = {}
    for measurement in probe.measure(testbed, running):
        assert measurement.benchmark == probe.name
        by_metric.setdefault(measurement.metric, []).append(measurement)
    return by_metric


def test_rate_and_overload(routed: Testbed, running: RunningSystem) -> None:
    rate = Rate(flows=(4,), payloads=(160, 1200), seconds=SECONDS)
    figures = measured(rate, routed, running)
    assert [each.parameters for each in figures["kpps"]] == [
        {"payload": 160, "flows": 4},
        {"payload": 1200, "flows": 4},
    ]
    assert all(each.value > 0 for each in figures["kpps"])
    assert {each.value for each in figures["limited"]} <= {0.0, 1.0}
    assert rate.find(routed, running).rate == 1000 * figures["kpps"][0].value
    figures = measured(Overload(rate, flows=(4,), seconds=SECONDS), routed, running)
    assert {name: len(found) for name, found in figures.items()} == {
        "load": 1,
        "delivered_percent": 1,
        "kpps": 1,
    }
    assert 0 < figures["delivered_percent"][0].value <= 100


def test_a_rate_is_searched_for_again_for_another_system(
    routed: Testbed, running: RunningSystem, unforwarded: RunningSystem
) -> None:
    rate = Rate(flows=(4,), seconds=SECONDS)
    assert rate.find(routed, running) is rate.find(routed, running)
    with pytest.raises(LabError, match="Nothing passes"):
        rate.find(routed, unforwarded)


def test_cpu(routed: Testbed, running: RunningSystem) -> None:
    figures = measured(Cpu(flows=(4,), seconds=4 * SECONDS), routed, running)
    (cost,) = figures["ns_per_packet"]
    assert cost.parameters == {"payload": 160, "flows": 4}
    assert set(figures) == {"ns_per_packet", "ns_without_relay", "delivered_percent"}


def test_latency(routed: Testbed, running: RunningSystem) -> None:
    figures = measured(Latency(flows=(4,), seconds=SECONDS), routed, running)
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
    "probe",
    [
        Rate((1,), seconds=SECONDS),
        Cpu((1,), seconds=SECONDS),
        Latency((1,), seconds=SECONDS),
    ],
    ids=lambda each: each.name,
)
def test_that_nothing_passes_is_told(
    routed: Testbed, unforwarded: RunningSystem, probe: Probe
) -> None:
    with pytest.raises(LabError, match="Nothing passes"):
        list(probe.measure(routed, unforwarded))


def test_probes_share_one_start_of_a_system() -> None:
    probes: list[Probe] = [Rate((1, 4), seconds=0.05), Cpu((4,), seconds=SECONDS)]
    one, four = forwarding([Routing()], probes)
    assert {each.benchmark for each in one.measure()} == {"rate"}
    assert {each.benchmark for each in four.measure()} == {"rate", "cpu"}


def test_no_system_is_given_more_flows_than_it_can_have() -> None:
    probes = [Rate((1, 1_000_000), seconds=SECONDS)]
    assert [each.name for each in forwarding([Coturn()], probes)] == ["1 flow"]
