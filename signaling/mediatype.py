"""What a request says that its body is, and other headers with parameters (RFC 9110, 5.6.6). Pure.

aiohttp has the `email` package read them, which knows all that mail may be: comments within
comments, parameters in pieces and in any charset. On some of that it raises IndexError, ValueError,
UnicodeError or RecursionError. No client of these APIs sends such, so here it cannot be read.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from signaling.errors import ApiError

#: The type of a body of which nothing is said (RFC 9110, section 8.3).
UNTYPED = "application/octet-stream"
_SHOWN = 60  # characters of a client's text in an error
_WORD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z/-]+")
# Some clients quote less than they should, such as a boundary with "=" in it.
_PARAMETER = re.compile(
    r'[ \t]*;[ \t]*(?:([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*)))?'
)
_ESCAPED = re.compile(r"\\(.)")


class Described(NamedTuple):
    """The value of a header with parameters.

    Attributes:
        word: What stands before them, in lower case: a media type, or that of a disposition.
        parameters: The parameters, by names in lower case; of two by one name the first.
    """

    word: str
    parameters: dict[str, str]


def read_described(value: str) -> Described | None:
    """Read the value of a header with parameters; None where it cannot be read."""
    value = value.strip(" \t")
    word = _WORD.match(value)
    if word is None:
        return None
    parameters: dict[str, str] = {}
    at = word.end()
    while at < len(value):
        found = _PARAMETER.match(value, at)
        if found is None:
            return None
        name, quoted, plain = found.groups()
        if name is not None:
            text = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), text)
        at = found.end()
    return Described(word[0].lower(), parameters)


def require_type(headers: Mapping[str, str], accepted: Sequence[str], told: str) -> str:
    """Make sure that a request's body is of a media type that is taken; which one.

    Args:
        headers: The headers of the request.
        accepted: What is taken.
        told: The header in which the answer tells that.

    Raises:
        ApiError: It is another one, or cannot be read.
    """
    written = headers.get("Content-Type", UNTYPED)
    described = read_described(written)
    if described is not None and described.word in accepted:
        return described.word
    sent = f"{written[:_SHOWN]!a}, which cannot be read"
    if described is not None:
        sent = described.word[:_SHOWN]
    wanted, one_of = ", ".join(accepted), "one of " if len(accepted) > 1 else ""
    raise ApiError(
        415,
        "unsupported_media_type",
        f"Send it as {one_of}{wanted}, not as {sent}.",
        headers={told: wanted},
    )
