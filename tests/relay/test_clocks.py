"""Whether this machine's clock is right."""

import pytest

from relay.clocks import MEMORY, MOST, WRONG, ClockWatch

DAY = 86_400.0


def watch(*ahead: float, now: float = 0.0) -> ClockWatch:
    clocks = ClockWatch()
    for number, each in enumerate(ahead):
        clocks.hear(f"relay {number}", each, now)
    return clocks


@pytest.mark.parametrize("ahead", [(), (1.0, -1.0), (300.0, 300.0), (600.0, 600.0, 600.0)])
def test_five_minutes_each_way_are_fine(ahead: tuple[float, ...]) -> None:
    clocks = watch(*ahead)
    assert not clocks.verdict(0.0).is_wrong
    assert list(clocks.news(0.0)) == []


@pytest.mark.parametrize("side", [1, -1])
def test_the_majority_is_right(side: int) -> None:
    clocks = watch(side * DAY, side * DAY + 1, 0.5, side * DAY - 1)
    verdict = clocks.verdict(0.0)
    assert verdict.is_wrong
    assert (verdict.differing, verdict.others) == (3, 4)
    assert abs(verdict.ahead - side * DAY) <= 1
    (said,) = clocks.news(0.0)
    assert f"1.0 days {'ahead' if side > 0 else 'behind'} of 3 of 4 others" in said
    assert "NTP" in said


def test_one_that_differs_is_wrong_itself_unless_there_are_only_two() -> None:
    clocks = watch(DAY, 0.0, 0.1)
    assert not clocks.verdict(0.0).is_wrong
    assert abs(clocks.verdict(0.0).ahead) < 1
    (said,) = clocks.news(0.0)
    assert "1.0 days ahead of that of relay 0: one of the two is wrong" in said
    two = watch(-DAY)
    assert not two.verdict(0.0).is_wrong  # who of the two?
    assert len(list(two.news(0.0))) == 1


def test_half_of_all_are_no_majority() -> None:
    assert not watch(DAY, DAY, 0.0).verdict(0.0).is_wrong
    assert not watch(DAY, -DAY).verdict(0.0).is_wrong


def test_each_thing_is_said_once_until_it_is_right_again() -> None:
    clocks = watch(DAY, DAY)
    assert len(list(clocks.news(0.0))) == 1
    assert list(clocks.news(5.0)) == []
    clocks.hear("relay 0", 0.0, 6.0)
    clocks.hear("relay 1", 0.0, 6.0)
    assert list(clocks.news(7.0)) == []
    clocks.hear("relay 1", WRONG + 1, 8.0)
    assert len(list(clocks.news(9.0))) == 1


def test_nobody_is_remembered_for_ever() -> None:
    clocks = watch(DAY, DAY)
    assert clocks.verdict(MEMORY).is_wrong
    assert clocks.verdict(MEMORY + 1).others == 0
    for number in range(2 * MOST):
        clocks.hear(str(number), 0.0, MEMORY)
    assert clocks.verdict(MEMORY).others == MOST
