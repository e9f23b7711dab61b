"""Events as JSON in UTF-8, in which a letter is itself and not six characters of ASCII.

Limits are bytes of that: what is written in Russian or Chinese would else count up to threefold.
"""

import json
from typing import Any

_COMPACT = (",", ":")
# Made once: `json.dumps` makes an encoder for each call that asks for anything special.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT)
_strict = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT, allow_nan=False)


def as_json(value: Any, *, strict: bool = False) -> str:
    """A value as JSON that UTF-8 can say, whatever texts are in it.

    Half a character of UTF-16, which JSON can have and UTF-8 cannot, stays an escape.

    Args:
        value: What JSON has.
        strict: Whether NaN and infinite numbers are refused, which JSON has not.

    Raises:
        ValueError: There is such a number.
        RecursionError: It is nested too deep.
    """
    text = (_strict if strict else _encoder).encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # they are in strings only, where this is how JSON escapes them
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def length(text: str) -> int:
    """How many bytes a text has in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
