"""What packets of a flow are lost while something happens to its relay."""

import pytest

from tests.bench.compare.benchmarks.continuity import RATE, Continuity, Outage, packet_loss
from tests.bench.compare.conftest import system_named
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.systems.routing import Routing
from tests.lab.delivery import Delivery
from tests.lab.errors import LabError

DEAD = 0.2  # seconds


def measured(dataplane: str, event: str) -> dict[str, float]:
    system = system_named(f"icelane {dataplane}")
    assert isinstance(system, Icelane)
    measurements = list(Continuity(system, (event,), seconds=0.1, dead=DEAD).measure())
    assert {each.parameters["event"] for each in measurements} == {event}
    return {each.metric: each.value for each in measurements}


def test_both_ways_count_and_the_longer_gap() -> None:
    ways = (
        Delivery(sent=100, lost=3, duplicated=1, gap=2),
        Delivery(sent=100, lost=4, reordered=5, gap=4),
    )
    assert packet_loss(ways) == {
        "lost": 7,
        "longest_gap_ms": 8.0,
        "duplicated": 1,
        "reordered": 5,
    }


@pytest.mark.netns
@pytest.mark.bpf
def test_the_kernel_forwards_without_an_agent() -> None:
    nothing = {"lost": 0.0, "longest_gap_ms": 0.0, "duplicated": 0.0, "reordered": 0.0}
    assert measured("xdp", "kill") == nothing
    assert measured("xdp", "upgrade") == nothing


@pytest.mark.netns
def test_a_flow_of_the_agent_waits_for_it() -> None:
    loss = measured("userspace", "kill")
    assert loss["longest_gap_ms"] >= 1000 * DEAD
    assert loss["lost"] >= RATE * DEAD


@pytest.mark.netns
@pytest.mark.bpf
def test_the_dataplanes_hand_over() -> None:
    assert measured("userspace", "switch")["lost"] == 0


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize("name", ["nginx stream", "C relay", "Go relay"])
def test_others_lose_what_comes_while_they_are_dead(name: str) -> None:
    system = system_named(name)
    if reason := system.missing():
        pytest.skip(reason)
    measurements = Outage(system, seconds=0.1, dead=DEAD).measure()
    loss = {each.metric: each.value for each in measurements}
    assert loss["longest_gap_ms"] >= 1000 * DEAD


@pytest.mark.netns
@pytest.mark.bpf
def test_what_is_no_process_cannot_be_killed() -> None:
    with pytest.raises(LabError, match="cannot be killed"):
        list(Outage(Routing()).measure())
