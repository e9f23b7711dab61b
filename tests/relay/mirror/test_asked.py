"""Clients that are looked up."""

from relay.core.flowtuple import Source
from relay.mirror.asked import ASKED_FOR, MOST, WAITING, Asked
from relay.mirror.mirror import PATIENCE
from tests.relay.conftest import ALICE, MALLORY, VIP

ONE, OTHER = Source(ALICE, VIP), Source(MALLORY, VIP)


def test_a_client_is_looked_up_once_and_its_last_datagrams_wait() -> None:
    asked = Asked()
    assert asked.ask(ONE, b"1", 0.0) is True
    assert asked.ask(OTHER, b"other", 0.0) is True
    for number in range(2, WAITING + 3):
        assert asked.ask(ONE, str(number).encode(), 0.0) is False
    assert asked.answer(ONE) == [str(number).encode() for number in range(3, WAITING + 3)]


def test_all_wait_that_a_voice_sends_while_an_answer_is_waited_for() -> None:
    """One that came after 60 to 100 ms cost two packets of a call that had been found."""
    between_packets = 0.02
    assert WAITING * between_packets > PATIENCE


def test_nothing_waits_for_an_answer_that_has_come() -> None:
    asked = Asked()
    asked.ask(ONE, b"1", 0.0)
    asked.answer(ONE)
    assert asked.ask(ONE, b"2", ASKED_FOR - 0.1) is False
    assert asked.answer(ONE) == []


def test_a_question_without_an_answer_is_repeated_with_a_later_datagram() -> None:
    asked = Asked(again=(0.25, 1.0))
    times = (0.0, 0.2, 0.25, 0.3, 0.9, 1.1, 1.2, 5.0)
    assert [each for each in times if asked.ask(ONE, b"x", each)] == [0.0, 0.25, 1.1]


def test_an_answered_question_is_not_repeated() -> None:
    asked = Asked(again=(0.25,))
    asked.ask(ONE, b"1", 0.0)
    asked.answer(ONE)
    assert asked.ask(ONE, b"2", 1.0) is False


def test_a_client_is_looked_up_again_after_a_while() -> None:
    asked = Asked()
    asked.ask(ONE, b"1", 0.0)
    asked.answer(ONE)
    assert asked.ask(ONE, b"2", ASKED_FOR) is True
    assert asked.answer(ONE) == [b"2"]


def test_a_client_for_whom_no_answer_came_is_looked_up_again_at_once() -> None:
    asked = Asked()
    asked.ask(ONE, b"1", 0.0)
    asked.forget(ONE)
    assert asked.ask(ONE, b"2", 0.1) is True
    assert asked.answer(ONE) == [b"2"]


def test_no_more_than_so_many_are_looked_up_at_a_time() -> None:
    asked = Asked()
    for number in range(MOST):
        assert asked.ask(Source(ALICE._replace(port=number + 1), VIP), b"x", 0.0) is True
    assert asked.ask(OTHER, b"x", 0.0) is None
    assert asked.ask(OTHER, b"x", ASKED_FOR) is True


def test_nobody_waits_who_was_not_asked_for() -> None:
    assert Asked().answer(ONE) == []
