"""What the answers of a control API say, whatever they are; pure."""

import json
from collections.abc import Mapping
from typing import Any

_DEFAULT_RETRY_AFTER = 2  # seconds
_LONGEST_RETRY_AFTER = 3600  # seconds
_MAX_SENTENCE = 500  # characters of the transceiver's reason that a client is told


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; an empty one where there is none, as the status decides then."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def retry_after(headers: Mapping[str, str]) -> int:
    """Seconds of Retry-After, at most an hour; a usual number where it says none."""
    value = headers.get("Retry-After", "")
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        return _DEFAULT_RETRY_AFTER
    return min(int(value), _LONGEST_RETRY_AFTER)


def code_and_message(answer: dict[str, Any]) -> tuple[str, str]:
    """Code and message of an error response."""
    error = answer.get("error")
    fields = error if isinstance(error, dict) else {}
    code, message = fields.get("code"), fields.get("message")
    return (
        code[:_MAX_SENTENCE] if isinstance(code, str) else "invalid_offer",
        message[:_MAX_SENTENCE]
        if isinstance(message, str)
        else "the transceiver cannot answer this offer",
    )


def is_utf8(text: str) -> bool:
    """Whether a text can be sent; JSON can spell halves of characters, which are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
