import random

import pytest

from transceiver.agent.speech.sentences import MAX_CHARACTERS, MAX_FIRST, MAX_PIECE, pieces, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is **7:05 PM**.", "It is 7:05 PM."),
        ("# Title\n* one\n* two", "Title\none\ntwo"),
        ("see [our page](https://example.org/a?b)", "see our page"),
        ("at https://www.example.org/path?q=1 now", "at example.org now"),
        ("before ```python\ncode()``` after", "before after"),
        ("fine \N{GRINNING FACE} \x00day", "fine day"),
        ("apples, e.g. red ones", "apples, for example red ones"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE} 5 \N{EURO SIGN}", None),
        ("2 * 3 and a_b", None),
    ],
)
def test_what_cannot_be_said_is_left_out(text: str, expected: str | None) -> None:
    assert plain(text) == (text if expected is None else expected)


def test_sentences_are_said_one_by_one() -> None:
    text = 'It is 3.5 degrees. Dr. Smith, e.g. J. Smith, is in. Is it? Yes! "No." Fine'
    assert pieces(text) == [
        "It is 3.5 degrees.",
        "Dr. Smith, for example J. Smith, is in.",
        "Is it?",
        "Yes!",
        '"No."',
        "Fine",
    ]


def test_long_sentences_are_cut_at_commas_and_the_first_soon() -> None:
    clause = "this is a clause of some length, "
    cut = pieces(clause * 20)
    assert len(cut[0]) <= MAX_FIRST
    assert all(len(each) <= MAX_PIECE and each.endswith(",") for each in cut)
    assert " ".join(cut) == (clause * 20).strip()


def test_without_commas_they_are_cut_between_words_and_words_as_they_must() -> None:
    assert " ".join(pieces("word " * 100)) == ("word " * 100).strip()
    assert "".join(pieces("x" * 1_000)) == "x" * 1_000


@pytest.mark.parametrize("text", ["", "  \n ", "...", "!?", "\N{GRINNING FACE}", "```code```"])
def test_nothing_to_say(text: str) -> None:
    assert pieces(text) == []


def test_whatever_comes_is_cut_in_bounded_pieces() -> None:
    chance = random.Random(11)
    alphabet = "ab .,!?\n*_[]()`#>\"'\N{EM DASH}\N{GRINNING FACE}5:"
    for _ in range(300):
        text = "".join(chance.choices(alphabet, k=chance.randrange(700)))
        assert all(0 < len(each) <= MAX_PIECE for each in pieces(text))
    assert sum(map(len, pieces("many words " * 10_000))) <= MAX_CHARACTERS
