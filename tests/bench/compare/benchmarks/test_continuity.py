"""What happens to a relay is felt by a flow, or not."""

import pytest

from tests.bench.compare.benchmarks.continuity import Continuity, Outage, felt
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.systems.routing import Routing
from tests.lab.errors import LabError
from tests.lab.load import Tally

DEAD = 0.2  # seconds


def measured(dataplane: str, event: str) -> dict[str, float]:
    question = Continuity(dataplane, (event,), seconds=0.1, dead=DEAD)
    measurements = list(question.ask())
    assert {each.contestant for each in measurements} == {f"icelane {dataplane}"}
    assert {each.parameters["event"] for each in measurements} == {event}
    return {each.metric: each.value for each in measurements}


def test_both_ways_count_and_the_longer_gap() -> None:
    ways = (
        Tally(sent=100, lost=3, duplicated=1, gap=2),
        Tally(sent=100, lost=4, reordered=5, gap=4),
    )
    assert felt(ways, rate=500) == {
        "lost": 7,
        "longest_gap_ms": 8.0,
        "duplicated": 1,
        "reordered": 5,
    }


@pytest.mark.netns
@pytest.mark.bpf
def test_the_kernel_forwards_without_an_agent() -> None:
    felt = {"lost": 0.0, "longest_gap_ms": 0.0, "duplicated": 0.0, "reordered": 0.0}
    assert measured("xdp", "kill") == felt
    assert measured("xdp", "upgrade") == felt


@pytest.mark.netns
def test_a_flow_of_the_agent_waits_for_it() -> None:
    felt = measured("userspace", "kill")
    assert felt["longest_gap_ms"] >= 1000 * DEAD
    assert felt["lost"] >= 500 * DEAD  # packets a second, one way


@pytest.mark.netns
@pytest.mark.bpf
def test_the_dataplanes_hand_over() -> None:
    assert measured("userspace", "switch")["lost"] == 0


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize("name", ["nginx stream", "C relay", "Go relay"])
def test_others_lose_what_comes_while_they_are_dead(name: str) -> None:
    (contestant,) = (each for each in ALL if each.name == name)
    question = Outage(contestant, seconds=0.1, dead=DEAD)
    if reason := question.missing():
        pytest.skip(reason)
    felt = {each.metric: each.value for each in question.ask()}
    assert felt["longest_gap_ms"] >= 1000 * DEAD


@pytest.mark.netns
@pytest.mark.bpf
def test_what_is_no_process_cannot_be_killed() -> None:
    with pytest.raises(LabError, match="cannot be killed"):
        list(Outage(Routing()).ask())
