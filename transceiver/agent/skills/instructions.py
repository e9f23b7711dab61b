"""The little of `instructions` that an agent without a language model can honour.

* A name: "Your name is Ada", "You are called Ada", "You are Ada." Greetings have it.
* A language: where another than English is asked for, the agent says that it has none but that.
* A sentence in quotation marks after "say": said where nothing of the user waits for an answer, as
  clients use `response.create` with instructions for that.

All else is left alone, and `help` says so.
"""

import re

_MAX = 20_000  # characters that are looked at
_NAME = re.compile(
    r"\b(?:your name is|you(?:'re| are) (?:called|named)|call yourself|you go by)\s+"
    r"[\"“']?([A-Z][\w'-]{0,30}(?: [A-Z][\w'-]{0,30})?)",
    re.IGNORECASE,
)
_YOU_ARE = re.compile(r"\b[Yy]ou(?:'re| are) ([A-Z][a-z]{1,30})(?=\s*[,.!]|\s*$)")
_LANGUAGES = (
    "German French Spanish Italian Portuguese Dutch Polish Russian Ukrainian Turkish Arabic Hebrew "
    "Hindi Chinese Mandarin Cantonese Japanese Korean Vietnamese Thai Swedish Danish Norwegian "
    "Finnish Greek Czech Hungarian Romanian Bulgarian Indonesian"
)
_LANGUAGE = re.compile(
    r"\b(?i:in|speak|speaks|use|talk|language is|language:)\s+(?:only\s+)?"
    rf"({'|'.join(_LANGUAGES.split())})\b"
)
_SAY = re.compile(r"\bsay\b[^\"“”\n]{0,60}[\"“]([^\"“”]{1,600})[\"”]", re.IGNORECASE)
DEFAULT_NAME = "Icelane"


def name(instructions: str) -> str:
    """The name that the agent goes by."""
    text = instructions[:_MAX]
    if (found := _NAME.search(text)) and found[1][0].isupper():
        return found[1]
    found = _YOU_ARE.search(text)
    return found[1] if found else DEFAULT_NAME


def foreign_language(instructions: str) -> str | None:
    """The language that is asked for, if it is another than English."""
    found = _LANGUAGE.search(instructions[:_MAX])
    return found[1] if found else None


def to_be_said(instructions: str) -> str | None:
    """The sentence in quotation marks that the agent is told to say."""
    found = _SAY.search(instructions[:_MAX])
    return found[1].strip() if found else None
