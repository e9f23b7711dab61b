import random

from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media.arrivals import Arrivals


def test_what_came_is_told_every_quarter_of_a_second() -> None:
    arrivals = Arrivals(0.0)
    assert not arrivals.due(10.0)
    for number in (65_534, 65_535, 1):
        arrivals.add(number & 0xFFFF, 10.0 + (number % 65_534) / 100)
    assert arrivals.due(10.0)
    first = arrivals.feedback(1, 2, 10.0)
    assert (first.ssrc, first.media, first.base, first.number) == (1, 2, 65_534, 0)
    assert [time is not None for time in first.arrivals] == [True, True, False, True]
    arrivals.add(2, 10.1)
    assert not arrivals.due(10.2)
    assert arrivals.due(10.25)
    second = arrivals.feedback(1, 2, 10.25)
    assert (second.base, second.number, second.arrivals) == (2, 1, (10.1,))
    assert not arrivals.due(11.0)


def test_a_late_one_is_told_with_those_around_it() -> None:
    arrivals = Arrivals(0.0)
    for number in (10, 11, 13):
        arrivals.add(number, number / 100)
    arrivals.feedback(1, 2, 1.0)
    arrivals.add(12, 1.1)
    arrivals.add(14, 1.2)
    late = arrivals.feedback(1, 2, 2.0)
    assert (late.base, late.arrivals) == (12, (1.1, 0.13, 1.2))


def test_a_client_that_starts_anew_is_followed() -> None:
    arrivals = Arrivals(0.0)
    for number in (1, 2, 30_000, 30_001):
        arrivals.add(number, 1.0)
    assert arrivals.feedback(1, 2, 1.0).base == 30_000


@seed(13)
@given(st.integers(0, 2**32))
def test_any_numbers_make_a_feedback_of_bounded_size(start: int) -> None:
    chance = random.Random(start)
    arrivals = Arrivals(0.0)
    number, now = chance.randrange(65_536), 0.0
    for _ in range(300):
        number = number + chance.choice([1, 1, 1, 2, -1, -50, 900, 20_000]) & 0xFFFF
        now += 0.02
        arrivals.add(number, now)
        if arrivals.due(now):
            feedback = arrivals.feedback(1, 2, now)
            assert any(time is not None for time in feedback.arrivals)
            assert len(feedback.arrivals) < 20_000
