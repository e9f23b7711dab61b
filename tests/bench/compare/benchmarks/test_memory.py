"""Memory of a flow, in processes and in the kernel."""

import pytest

from tests.bench.compare.benchmarks.memory import Memory
from tests.bench.compare.conftest import system_named


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        # A record, its route, and a share of a bucket.
        ("icelane xdp", "map_bytes", 64 + 24 + 64 / 6),
        ("C relay", "kernel_bytes", 1000),  # a socket
    ],
)
def test_a_flow_takes_what_it_is_known_to_consist_of(name: str, metric: str, least: float) -> None:
    system = system_named(name)
    benchmark = Memory(system, flows=3000)
    if reason := system.missing():
        pytest.skip(reason)
    figures = {each.metric: each.value for each in benchmark.measure()}
    assert figures[metric] > least
    assert figures["base_mb"] > 0
