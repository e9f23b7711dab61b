"""What is assumed of the world adds up."""

from random import Random
from statistics import fmean, median

import pytest

from tests.bench.scale import world
from tests.bench.scale.latency import DIRECT, GLOBAL, latencies
from tests.bench.scale.test_simulation import COSTS


def test_all_users_are_somewhere() -> None:
    assert sum(each.share for each in world.REGIONS) == pytest.approx(1)
    assert len({each.name for each in world.REGIONS}) == len(world.REGIONS)


def test_calls_of_a_week_are_those_of_its_users() -> None:
    week = sum(
        each.rate(hour * world.HOUR) * world.HOUR for each in world.REGIONS for hour in range(168)
    )
    assert week == pytest.approx(world.USERS * world.SPEAKING * world.CALLS)


def test_a_region_is_busiest_in_its_evening() -> None:
    for region in world.REGIONS:
        assert region.rate(region.busiest) == pytest.approx(region.most)
        assert region.rate(region.busiest + 12 * world.HOUR) < region.most / 2
    assert world.NAMED["Europe"].busiest / world.HOUR == pytest.approx(19.4, abs=0.1)


def test_lengths_have_their_mean() -> None:
    random = Random(1)
    found = [world.length(random) for _ in range(200_000)]
    assert fmean(found) == pytest.approx(world.MEAN, rel=0.02)
    assert median(found) == pytest.approx(world.MEAN / 2.05, rel=0.02)
    # What is left of a call that is met at some moment: E[S^2] / 2 E[S].
    square = fmean(each**2 for each in found)
    rest = [world.rest(random) for _ in range(200_000)]
    assert fmean(rest) == pytest.approx(square / 2 / world.MEAN, rel=0.1)


def test_distances_are_those_of_the_earth() -> None:
    europe, america = world.NAMED["Europe"], world.NAMED["North America"]
    assert europe.distance(america) == pytest.approx(6_560, rel=0.02)
    assert europe.distance(europe) == pytest.approx(0, abs=1)
    assert world.nearest(world.NAMED["Oceania"])[0].name == "East Asia"


def test_a_relay_on_the_way_saves_detours_and_no_distance() -> None:
    rows = {(each.region, each.through): each for each in latencies(world.REGIONS, COSTS, 1)}
    for region in world.REGIONS:
        direct, near = rows[region.name, DIRECT], rows[region.name, GLOBAL]
        assert direct.cluster == near.cluster == world.nearest(region)[0].name
        if region.clustered:
            assert near.p50 == direct.p50
        else:
            assert near.p50 < direct.p50
            assert near.p99 < direct.p99
        least = (
            world.ACCESS * 1000 + 2 * 1000 * region.distance(world.nearest(region)[0]) / world.FIBRE
        )
        assert near.round_trip > least
        first = COSTS.first_audio_ms + COSTS.round_trips * near.round_trip
        assert near.p50 == pytest.approx(first, rel=0.02)


def test_without_a_cluster_the_next_one_is_farther() -> None:
    there = latencies(world.REGIONS, COSTS, 1)
    lost = latencies(world.REGIONS, COSTS, 1, lost="Europe")
    for before, after in zip(there, lost, strict=True):
        assert after.cluster != "Europe"
        assert after.p50 >= before.p50
