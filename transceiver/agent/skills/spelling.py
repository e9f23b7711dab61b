"""Spelling a word, and putting letters together."""

from collections.abc import Sequence

_MAX_LETTERS = 40
# How a recogniser writes what it hears where somebody spells.
_HEARD = {
    "ay": "a",
    "be": "b",
    "bee": "b",
    "see": "c",
    "sea": "c",
    "dee": "d",
    "ee": "e",
    "ef": "f",
    "gee": "g",
    "aitch": "h",
    "eye": "i",
    "jay": "j",
    "kay": "k",
    "el": "l",
    "em": "m",
    "en": "n",
    "oh": "o",
    "pee": "p",
    "queue": "q",
    "cue": "q",
    "are": "r",
    "ar": "r",
    "es": "s",
    "ess": "s",
    "tee": "t",
    "tea": "t",
    "you": "u",
    "vee": "v",
    "ex": "x",
    "why": "y",
    "wye": "y",
    "zee": "z",
    "zed": "z",
}


def spell(word: str) -> str:
    """A word's letters with a pause after each, as they are said."""
    letters = [letter.upper() for letter in word if letter.isalnum()]
    if len(letters) > _MAX_LETTERS:
        return "That word is too long to spell."
    return f"{word.capitalize()} is spelled {', '.join(letters)}."


def letters_of(line: Sequence[str]) -> str | None:
    """The word that somebody spelled letter by letter; None if these words are no letters."""
    found = [word if len(word) == 1 else _HEARD.get(word, "") for word in line[:_MAX_LETTERS]]
    if len(found) < 2 or not all(letter.isalpha() for letter in found):
        return None
    if sum(len(word) == 1 for word in line) < 2:  # "are you" is no spelling
        return None
    return "".join(found)
