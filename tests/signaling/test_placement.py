from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.route import Target
from signaling.placement import Load, choose_transceiver

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
