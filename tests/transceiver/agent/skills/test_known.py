from datetime import timedelta

import pytest

from tests.transceiver.agent.skills.conversation import NOW, agent, answer
from transceiver.agent.skills import CancelTimer, SayGoodbye, SetTimer, Situation


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("what time is it", "It is 7:05 PM."),
        ("Hi! What's the time, please?", "It is 7:05 PM."),
        ("time", "It is 7:05 PM."),
        ("what's today's date", "Today is Friday, November 27, 2026."),
        ("what day is tomorrow", "Tomorrow is Saturday, November 28, 2026."),
        ("how do you spell banana", "Banana is spelled B, A, N, A, N, A."),
        ("spell the word cat", "Cat is spelled C, A, T."),
        ("c a t", "That spells cat."),
        ("seven times six", "That is 42."),
        ("can you hear me", "Yes, I can hear you."),
        ("do you speak German", "I only speak English."),
        ("thanks", "You are welcome."),
        ("repeat that", "I have not said anything yet."),
        ("stop", "All right."),
        ("how much time is left", "There is no timer."),
    ],
)
def test_requests(request_: str, expected: str) -> None:
    assert answer(request_).text == expected


def test_requests_with_consequences() -> None:
    running = Situation(NOW, NOW + timedelta(minutes=1))
    assert answer("set a timer for a minute").intent == SetTimer(60)
    assert answer("cancel the timer", situation=running).intent == CancelTimer()
    assert answer("goodbye").intent == SayGoodbye()


def test_the_last_words_are_said_again() -> None:
    assert answer("hello", agent("Hi."), "say that again").text == "Hi."


def test_help_names_what_works() -> None:
    told = answer("help").text
    for word in ("time", "date", "timer", "sum", "spell", "echo"):
        assert word in told


def test_a_greeting_says_the_name_once() -> None:
    assert "Ada" in answer("hello", instructions="Your name is Ada.").text
    assert "again" in answer("hello", agent("Hi."), "hello").text
    assert "Ada" in answer("who are you", instructions="Your name is Ada.").text
