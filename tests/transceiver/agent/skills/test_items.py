from typing import Any

from tests.transceiver.agent.skills.conversation import agent, call, output, user
from transceiver.agent.skills.items import text_of, turn


def test_an_answered_request_is_one_before() -> None:
    stands = turn([user("one"), agent("first"), user("two"), agent("second"), user("three")])
    assert stands.request == "three"
    assert stands.said == ("second", "first")
    assert stands.before == ("two", "one")


def test_a_sentence_that_a_pause_has_cut_is_one_request() -> None:
    assert turn([user("what is"), user("two plus two")]).request == "what is two plus two"


def test_outputs_wait_until_they_are_told_or_the_user_speaks() -> None:
    history = [user("x"), call("a"), output("1"), call("b"), output("2")]
    assert turn(history).outputs == ("1", "2")
    assert turn([*history, agent("told")]).outputs == ()
    assert turn([*history, user("never mind")]).outputs == ()


def test_items_of_other_kinds_and_broken_ones_are_passed_over() -> None:
    odd: list[dict[str, Any]] = [
        {"type": "mcp_call"},
        {"type": "message", "role": "system", "content": None},
        {},
    ]
    assert turn(odd).request is None
    content: list[Any] = [{"type": "input_image"}, "text", {"text": 5}, {"text": "hello"}]
    assert text_of({"content": content}) == "hello"


def test_a_turn_without_transcript_is_an_empty_request() -> None:
    assert turn([user(None)]).request == ""
