"""Values of settings as they may be shown, without secrets: for people or as plain data. Pure."""

from pathlib import Path
from typing import Any

from relay.config.urls import without_secrets


def plain(value: Any) -> Any:
    """A value as plain data, as one would write it into a file."""
    match value:
        case None | bool() | int() | float():
            return value
        case range():
            return f"{value[0]}-{value[-1]}"
        case Path():
            return str(value)
        case list() | frozenset() | set():
            return [plain(each) for each in value]
        case tuple() if type(value) is tuple:  # and not a named one, such as an endpoint
            return [plain(each) for each in value]
        case _:
            text = str(value)
            return without_secrets(text) if "://" in text else text


def in_words(value: Any) -> str:
    """A value for people."""
    data = plain(value)
    match data:
        case bool():
            return "true" if data else "false"
        case None | []:
            return "-"
        case list():
            return ", ".join(map(str, data))
        case float():
            return f"{data:g}"
        case _:
            return str(data)
