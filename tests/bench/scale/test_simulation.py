"""The simulation: what must hold whatever happens, and what is known in closed form."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

import pytest

from tests.bench.scale import sizing, world
from tests.bench.scale.costs import Costs, Request
from tests.bench.scale.ecmp import HashThreshold
from tests.bench.scale.fleet import Call, Relay, Slot
from tests.bench.scale.simulation import Scale, Simulation

REQUESTS = ("claim", "refresh", "release", "heard", "restore", "read")
COSTS = Costs(
    rates={1: 2_000.0, 1_000_000: 1_000.0},
    setups=5_000.0,
    flow_bytes=1_000.0,
    first_audio_ms=40.0,
    round_trips=5.0,
    hop_us=5.0,
    requests={name: Request(20.0, 5.0) for name in REQUESTS},
    listener_us=0.5,
    record_bytes=400.0,
)
EUROPE = world.NAMED["Europe"]
START = EUROPE.busiest
SMALL = Scale((EUROPE.scaled(0.05),), START, edges=False, relays={"Europe": 3})
WORLD = Scale([each.scaled(0.01) for each in world.REGIONS], START)


@pytest.fixture
def europe() -> Simulation:
    return Simulation(SMALL, COSTS, 1)


def balanced(simulation: Simulation) -> None:
    """Calls that arrived are those that ended, were cut off or refused, and those that go on."""
    counts, active = simulation.counts, simulation.active
    gone = counts["ended"] + counts["cut"] + counts["refused"]
    assert counts["arrived"] == gone + len(active)
    sites = simulation.sites.values()
    assert sum(site.used for site in sites) == len(active)
    assert {call for site in sites for slot in site.slots for call in slot.calls} == set(active)
    for call in active:
        assert call.held
        assert all(call in relay.calls for relay in call.held)


def held(simulation: Simulation) -> Iterator[Call]:
    for site in simulation.sites.values():
        for relay in site.relays.members:
            yield from relay.calls


def test_there_are_as_many_calls_as_rate_times_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(world, "SWING", 0.0)  # the same rate all day
    simulation = Simulation(SMALL, COSTS, 1)
    found = []
    for _ in range(120):
        simulation.run(simulation.now + 60)
        found.append(len(simulation.active))
    expected = SMALL.regions[0].rate(START) * world.MEAN  # M/G/inf
    assert fmean(found) == pytest.approx(expected, rel=0.05)
    balanced(simulation)


def test_calls_come_as_the_hour_says() -> None:
    region = EUROPE.scaled(0.02)
    scale = replace(SMALL, regions=(region,))
    for hour in (region.busiest - 12 * world.HOUR, region.busiest):
        simulation = Simulation(replace(scale, start=hour), COSTS, 1)
        before = simulation.counts["arrived"]
        simulation.run(hour + 600)
        expected = 600 * region.rate(hour)
        assert simulation.counts["arrived"] - before == pytest.approx(expected, rel=0.1)


def test_a_relay_more_gets_its_share(europe: Simulation) -> None:
    change = europe.add_relay("Europe")
    assert change.moved / change.calls == pytest.approx(1 / 4, abs=0.02)
    assert change.cut == 0
    balanced(europe)
    back = europe.drain_relay("Europe")
    assert back.moved == change.moved
    balanced(europe)
    europe.run(europe.now + 120)
    balanced(europe)
    assert len(list(held(europe))) == len(europe.active)


def test_thresholds_move_half() -> None:
    simulation = Simulation(replace(SMALL, spread=HashThreshold), COSTS, 1)
    change = simulation.add_relay("Europe")
    assert change.moved / change.calls == pytest.approx(1 / 2, abs=0.02)


def test_a_dead_relay_is_noticed_later_than_a_drained_one() -> None:
    drained = Simulation(SMALL, COSTS, 1).drain_relay("Europe")
    dead = Simulation(SMALL, COSTS, 1).kill_relay("Europe")
    assert dead.gaps == [pytest.approx(each + world.DETECTION) for each in drained.gaps]


def test_what_finds_no_port_is_cut_off() -> None:
    # Two relays have room for half of the calls each, and one has not for all.
    scale = replace(SMALL, regions=(EUROPE.scaled(1.8),), sample=20, relays={"Europe": 2})
    simulation = Simulation(scale, COSTS, 1)
    assert simulation.kill_relay("Europe").cut > 0
    balanced(simulation)


def test_ports_that_rest_misroute_nothing(europe: Simulation) -> None:
    europe.add_relay("Europe")
    europe.run(europe.now + 120)
    assert europe.counts["misrouted"] == 0


def test_ports_that_do_not_rest_misroute_calls() -> None:
    relay = Relay("a", 1, range(10, 12), quarantine=0.0)
    first, second = (Call(n, "Europe", 0, 0.0, Slot("Europe", 0)) for n in range(2))
    for call in (first, second):
        assert relay.take(call, 0.0) is False
    assert relay.take(Call(2, "Europe", 0, 0.0, Slot("Europe", 0)), 0.0) is None
    relay.leave(first, 1.0, sent_until=3.0)
    third = Call(3, "Europe", 0, 0.0, Slot("Europe", 0))
    assert relay.take(third, 2.0) is True
    relay.leave(third, 2.5, sent_until=2.5)
    assert relay.take(first, 4.0) is False


def test_a_drained_machine_finishes_its_calls(europe: Simulation) -> None:
    slots = [each for each in europe.sites["Europe"].slots if each.host == 0]
    before = {call for slot in slots for call in slot.calls}
    change = europe.drain_host("Europe")
    assert (change.cut, change.moved) == (0, 0)
    europe.run(europe.now + 300)
    after = {call for slot in slots for call in slot.calls}
    assert after < before
    balanced(europe)


def test_whoever_is_cut_off_calls_again(europe: Simulation) -> None:
    slots = [each for each in europe.sites["Europe"].slots if each.host == 0]
    there = sum(len(slot.calls) for slot in slots)
    before = europe.counts["arrived"]
    change = europe.kill_host("Europe")
    assert change.cut == there > 0
    assert not any(slot.calls for slot in slots)
    balanced(europe)
    assert len(list(held(europe))) == len(europe.active) + there  # nobody says goodbye
    europe.run(europe.now + world.REDIAL)
    assert europe.counts["arrived"] - before > 0.9 * there
    europe.run(europe.now + world.LIMITS.idle)
    balanced(europe)
    assert len(list(held(europe))) == len(europe.active)


def test_without_a_region_the_next_one_has_its_calls() -> None:
    simulation = Simulation(WORLD, COSTS, 1)
    relays = set(simulation.sites["Europe"].relays.members)
    there = [
        call
        for call in simulation.active
        if call.slot.region == "Europe" or not relays.isdisjoint(call.held)
    ]
    assert any(len(call.held) == 2 for call in there)  # by an edge
    change = simulation.lose("Europe")
    assert change.cut == len(there)
    simulation.run(simulation.now + 60)
    balanced(simulation)
    assert simulation.sites["Europe"].used == 0
    assert {call.region for call in simulation.active} == set(world.NAMED)
    assert all(relays.isdisjoint(call.held) for call in simulation.active)


def test_a_sample_stands_for_all() -> None:
    whole = Simulation(WORLD, COSTS, 1)
    sample = Simulation(replace(WORLD, sample=10), COSTS, 1)
    assert 10 * len(sample.active) == pytest.approx(len(whole.active), rel=0.15)
    slots = len(sample.sites["Europe"].slots)
    assert 10 * slots == pytest.approx(len(whole.sites["Europe"].slots), abs=10)


def test_the_same_seed_gives_the_same() -> None:
    def told(seed: int) -> object:
        simulation = Simulation(SMALL, COSTS, seed)
        change = simulation.kill_relay("Europe")
        simulation.run(simulation.now + 60)
        return (
            change,
            simulation.counts,
            simulation.waits,
            [each.number for each in held(simulation)],
        )

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_the_busiest_hour_finds_room() -> None:
    for cluster in (each for each in world.REGIONS if each.clustered):
        calls = sizing.calls_of(cluster, world.REGIONS)
        assert sizing.slots(cluster, world.REGIONS) * world.PLACES >= calls * (1 + world.SPARE)
        relays = sizing.relays(cluster, world.REGIONS, edges=False)
        assert relays * world.LIMITS.flows * world.FULL >= calls
        assert relays <= sizing.relays(cluster, world.REGIONS, edges=True)
    assert sum(len(sizing.clients_of(each, world.REGIONS)) for each in world.REGIONS) == len(
        world.REGIONS
    )
