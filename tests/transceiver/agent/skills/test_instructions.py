import pytest

from transceiver.agent.skills.instructions import foreign_language, name, to_be_said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Your name is Ada. Be kind.", "Ada"),
        ('You are called "Mary Jane"', "Mary Jane"),
        ("You are Bob, a pirate.", "Bob"),
        ("You are a helpful assistant.", "Icelane"),
        ("You are Bound by rules.", "Icelane"),
        ("your name is not to be told", "Icelane"),
        ("", "Icelane"),
    ],
)
def test_names(text: str, expected: str) -> None:
    assert name(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Always answer in German.", "German"),
        ("Speak only Japanese", "Japanese"),
        ("Speak English.", None),
        ("You love French food.", None),
    ],
)
def test_languages(text: str, expected: str | None) -> None:
    assert foreign_language(text) == expected


def test_a_sentence_to_be_said() -> None:
    assert to_be_said('Greet the user and say: "Welcome to the shop!"') == "Welcome to the shop!"
    assert to_be_said("Say hello to the user") is None


def test_long_instructions_are_looked_at_in_part() -> None:
    assert name("x" * 1_000_000 + "Your name is Ada.") == "Icelane"
