import pytest

from transceiver.agent.skills.spelling import letters_of, spell


def test_a_word_is_spelled_with_pauses() -> None:
    assert spell("hello") == "Hello is spelled H, E, L, L, O."
    assert spell("x" * 100) == "That word is too long to spell."


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("c a t", "cat"),
        ("see a t", "cat"),
        ("are you", None),
        ("a", None),
        ("what time is it", None),
        ("", None),
    ],
)
def test_letters_are_put_together(line: str, expected: str | None) -> None:
    assert letters_of(line.split()) == expected
