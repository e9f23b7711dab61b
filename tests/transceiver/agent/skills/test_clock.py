from datetime import timedelta

import pytest

from tests.transceiver.agent.skills.conversation import NOW
from transceiver.agent.skills import clock
from transceiver.agent.skills.reply import CancelTimer, SetTimer, Situation
from transceiver.agent.skills.words import words


@pytest.mark.parametrize(
    ("hour", "minute", "expected"),
    [
        (0, 0, "It is 12 AM."),
        (12, 30, "It is 12:30 PM."),
        (19, 5, "It is 7:05 PM."),
        (11, 59, "It is 11:59 AM."),
    ],
)
def test_time_of_day(hour: int, minute: int, expected: str) -> None:
    assert clock.time_of_day(NOW.replace(hour=hour, minute=minute)) == expected


def test_dates() -> None:
    assert clock.date(NOW) == "Today is Friday, November 27, 2026."
    new_years_eve = NOW.replace(month=12, day=31)
    assert clock.tomorrow(new_years_eve) == "Tomorrow is Friday, January 1, 2027."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("five minutes", 300),
        ("one hour and twenty minutes", 4800),
        ("half an hour", 1800),
        ("a minute and 30 seconds", 90),
        ("1.5 hours", 5400),
        ("a timer", None),
        ("twenty apples", None),
    ],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert clock.seconds_in(words(text)) == seconds


def test_a_timer_is_set_asked_for_and_stopped() -> None:
    none, some = Situation(NOW), Situation(NOW, NOW + timedelta(seconds=94.2))
    reply = clock.timer(words("set a timer for five minutes"), none)
    assert (reply.text, reply.intent) == ("Your timer is set for 5 minutes.", SetTimer(300))
    assert clock.timer(words("the timer"), some).text == "1 minute and 35 seconds left."
    assert clock.timer(words("cancel the timer"), some).intent == CancelTimer()
    assert clock.timer(words("cancel the timer"), none).intent is None
    assert clock.timer(words("set a timer"), none).text.startswith("For how long?")
    assert clock.left(Situation(NOW, NOW - timedelta(seconds=1))) == "The timer has just ended."


@pytest.mark.parametrize("text", ["a timer for 25 hours", "timer for zero seconds"])
def test_a_timer_has_bounds(text: str) -> None:
    reply = clock.timer(words(text), Situation(NOW))
    assert reply.intent is None
    assert reply.text == "A timer can run from one second to 24 hours."
