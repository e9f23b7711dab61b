import pytest

from transceiver.agent.skills.arithmetic import reckon
from transceiver.agent.skills.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is twelve times seven", "That is 84."),
        ("3*(4+5)", "That is 27."),
        ("two plus three times four", "That is 14."),
        ("ten minus three minus two", "That is 5."),
        ("20 percent of fifty", "That is 10."),
        ("please add 3 and 4", "That is 7."),
        ("subtract three from ten", "That is 7."),
        ("divide ten by four", "That is 2.5."),
        ("how much is ten divided by three?", "That is about 3.333."),
        ("what is the square root of two hundred and twenty five", "That is 15."),
        ("the square root of two", "That is about 1.414."),
        ("two to the power of ten", "That is 1,024."),
        ("nine squared", "That is 81."),
        ("minus 5 plus 2", "That is minus 3."),
        ("0.1 + 0.2", "That is 0.3."),
    ],
)
def test_sums(text: str, expected: str) -> None:
    assert reckon(words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1/0", "Nothing can be divided by zero."),
        ("2^5000", "That number is too large for me."),
        ("(2^60)^60", "That number is too large for me."),
        (" * ".join(["999999999999"] * 30), "That number is too large for me."),
        ("square root of minus four", "A negative number has no square root that I could say."),
    ],
)
def test_sums_without_a_result_are_said_to_be_so(text: str, expected: str) -> None:
    assert reckon(words(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("what is five", "what time is it", "five", "", "plus", "two plus", "i have 5 apples"),
        *("(" * 70 + "1", "what is the time minus two", "add three", "(2+3"),
        "1" + "+1" * 100,
    ],
)
def test_what_is_no_sum_is_left_to_others(text: str) -> None:
    assert reckon(words(text)) is None
