from fractions import Fraction

import pytest

from transceiver.agent.skills.words import MAX_CHARACTERS, is_rounded, number_at, spoken, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's the time?", "what is the time"),
        ("twenty-five", "twenty five"),
        ("12*7-3", "12 times 7 minus 3"),
        ("1,250.5 + 2", "1250.5 plus 2"),
        ("20% of 5", "20 percent of 5"),
        ("3 x 4", "3 times 4"),
        ("it\N{RIGHT SINGLE QUOTATION MARK}s 5 \N{MINUS SIGN} 2", "it is 5 minus 2"),
        ("today's date", "today date"),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


def test_a_long_request_is_looked_at_in_part() -> None:
    assert len(words("a " * 10 * MAX_CHARACTERS)) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("twenty five", 25, 2),
        ("one hundred and five apples", 105, 4),
        ("a hundred", 100, 2),
        ("two thousand and six", 2006, 4),
        ("five million two hundred thousand and one", 5_200_001, 7),
        ("minus three point one four", Fraction(-314, 100), 5),
        ("3 thousand", 3000, 2),
        ("zero", 0, 1),
        ("nine ten", 9, 1),
        ("twenty five and six", 25, 2),
        ("a hundred and", 100, 2),
        ("four point", 4, 1),
    ],
)
def test_a_number_ends_where_it_ends(text: str, value: Fraction, used: int) -> None:
    line = text.split()
    assert number_at(line, 0) == (value, used)


@pytest.mark.parametrize("text", ["", "and five", "hundred", "a", "minus", "point five", "9" * 40])
def test_no_number(text: str) -> None:
    assert number_at(text.split(), 0) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(1234567), "1,234,567"),
        (Fraction(-5, 2), "minus 2.5"),
        (Fraction(1, 3), "0.333"),
        (Fraction(1, 4000), "0.00025"),
        (Fraction(10) ** 20, "1 times ten to the power of 20"),
        (Fraction(99_999, 100_000), "1"),
    ],
)
def test_numbers_are_spoken(value: Fraction, expected: str) -> None:
    assert spoken(value) == expected


def test_what_is_not_said_in_full_is_known() -> None:
    assert is_rounded(Fraction(1, 3))
    assert not is_rounded(Fraction(1, 8))
