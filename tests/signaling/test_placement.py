from collections import Counter
from collections.abc import Collection
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.route import Target
from signaling.placement import Load, Near, choose_transceiver

TARGETS = [Target(1, slot, 0) for slot in range(8)]
loads = st.builds(Load, st.integers(0, 20), st.integers(0, 20), draining=st.booleans())
pools = st.dictionaries(st.sampled_from(TARGETS), loads)


@given(pools, st.sets(st.sampled_from(TARGETS)), st.integers())
def test_the_choice_is_reachable_has_room_and_was_not_tried(
    pool: dict[Target, Load], tried: set[Target], seed: int
) -> None:
    choice = choose_transceiver(pool, Random(seed), tried=tried)
    allowed = {
        target
        for target, load in pool.items()
        if not load.draining and load.sessions < load.capacity and target not in tried
    }
    assert choice in allowed if allowed else choice is None


@given(pools, st.integers())
def test_of_two_the_less_utilised_is_chosen(pool: dict[Target, Load], seed: int) -> None:
    pair = dict(list(pool.items())[:2])
    choice = choose_transceiver(pair, Random(seed))
    if choice is not None:
        with_room = [load.utilisation for load in pair.values() if load.has_room]
        assert pair[choice].utilisation == min(with_room)


def test_the_same_randomness_gives_the_same_choice() -> None:
    pool = dict.fromkeys(TARGETS, Load(0, 10))
    assert len({choose_transceiver(pool, Random(7)) for _ in range(10)}) == 1


def test_the_most_loaded_one_is_never_chosen_and_the_others_share() -> None:
    pool = {target: Load(target.slot, 100) for target in TARGETS}
    random = Random(3)
    chosen = Counter(choose_transceiver(pool, random) for _ in range(4000))
    assert TARGETS[-1] not in chosen
    shares = [chosen[target] for target in TARGETS[:-1]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(4000 * 7 / 28, rel=0.15)


def test_utilisation_counts_and_not_the_number_of_sessions() -> None:
    small, large = TARGETS[:2]
    assert choose_transceiver({small: Load(5, 10), large: Load(20, 100)}, Random(0)) == large


def test_new_session_fills_the_last_room() -> None:
    assert Load(8, 10).with_new_session().has_room
    assert not Load(9, 10).with_new_session().has_room


def test_a_report_may_say_how_many_sessions_each_principal_has() -> None:
    report = {"sessions": 3, "capacity": 10, "draining": False}
    assert Load.read({**report, "principals": {"alice": 2}}) == Load(3, 10, principals={"alice": 2})
    assert Load.read({**report, "behind": True}) == Load(3, 10, behind=True)
    assert Load.read({**report, "behind": 1}) == Load(3, 10)
    others: list[Any] = [None, [], {"alice": -1}, {"alice": "2"}, {"alice": True}]
    for wrong in others:
        assert Load.read({**report, "principals": wrong}) == Load(3, 10)


def test_what_a_report_does_not_say_of_principals_stays_as_it_was() -> None:
    before = Load(3, 10, principals={"alice": 2})
    assert Load(4, 10).following(before) == Load(4, 10, principals={"alice": 2})
    assert Load(4, 10, principals={}).following(before) == Load(4, 10, principals={})
    assert before.with_session_of("alice").principals == {"alice": 3}
    assert Load(0, 1).with_session_of("bob").principals == {"bob": 1}


class TestNear:
    """Two regions, and calls that want to be in one."""

    EU, US = TARGETS[:2], TARGETS[2:4]
    REGIONS: ClassVar[dict[Target, str | None]] = {
        **dict.fromkeys(EU, "eu"),
        **dict.fromkeys(US, "us"),
    }

    def choose(
        self, loads: dict[Target, Load], near: Near, tried: Collection[Target] = ()
    ) -> Target | None:
        return choose_transceiver(loads, Random(1), tried=tried, near=near, regions=self.REGIONS)

    def fleet(self, eu: Load, us: Load) -> dict[Target, Load]:
        return {**dict.fromkeys(self.EU, eu), **dict.fromkeys(self.US, us)}

    def test_the_nearest_region_with_room_has_it(self) -> None:
        near = Near(("eu", "us"))
        assert self.choose(self.fleet(Load(9, 10), Load(0, 10)), near) in self.EU
        assert self.choose(self.fleet(Load(10, 10), Load(0, 10)), near) in self.US
        assert self.choose(self.fleet(Load(0, 10, draining=True), Load(0, 10)), near) in self.US

    def test_those_that_are_behind_take_none_and_do_not_count(self) -> None:
        near = Near(("eu", "us"), spill=0.8)
        assert self.choose(self.fleet(Load(0, 10, behind=True), Load(9, 10)), near) in self.US
        loads = self.fleet(Load(7, 10), Load(0, 10)) | {self.EU[0]: Load(10, 10, behind=True)}
        assert self.choose(loads, near) == self.EU[1]

    def test_a_region_spills_over_before_it_is_full_where_that_is_wanted(self) -> None:
        near = Near(("eu", "us"), spill=0.8)
        assert self.choose(self.fleet(Load(7, 10), Load(0, 10)), near) in self.EU
        assert self.choose(self.fleet(Load(8, 10), Load(0, 10)), near) in self.US

    def test_where_all_are_beyond_that_the_nearest_with_room_has_it(self) -> None:
        near = Near(("eu", "us"), spill=0.8)
        assert self.choose(self.fleet(Load(9, 10), Load(8, 10)), near) in self.EU

    def test_any_other_region_is_better_than_none(self) -> None:
        assert self.choose(self.fleet(Load(10, 10), Load(0, 10)), Near(("eu",))) in self.US

    def test_those_that_refused_are_not_asked_again(self) -> None:
        loads = self.fleet(Load(0, 10), Load(0, 10))
        assert self.choose(loads, Near(("eu",)), tried=set(self.EU)) in self.US

    def test_an_ingress_leads_to_its_own_clusters_only(self) -> None:
        elsewhere = Target(2, 1, 0)
        loads = {elsewhere: Load(0, 10)}
        assert self.choose(loads, Near(clusters={1})) is None
        assert self.choose(loads, Near(clusters={1, 2})) == elsewhere
