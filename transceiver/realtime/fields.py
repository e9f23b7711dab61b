"""Checks of the fields of a client's events, made of one another.

A check takes a value and where it stands, and gives the value that is meant. It raises an
`EventError` with the code that OpenAI's server has for it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from relay.jsontext import as_json, length
from transceiver.realtime.errors import EventError

Check = Callable[[Any, str], Any]

# Characters of a text, bytes of JSON. A browser's data channel takes messages of 262,144 bytes.
MAX_TEXT = 1 << 17
MAX_LIST = 128  # elements


def wrong(param: str, wanted: str, value: object) -> EventError:
    """The error for a value that is not what a field takes."""
    shown = repr(value) if isinstance(value, bool | int | float | str) else type(value).__name__
    return EventError(
        "invalid_value", f"Invalid value: {shown[:80]}. `{param}` must be {wanted}.", param
    )


def missing(param: str) -> EventError:
    """The error for a field that must be there."""
    message = f"Missing required parameter: '{param}'."
    return EventError("missing_required_parameter", message, param)


def text(most: int = MAX_TEXT, least: int = 0) -> Check:
    """A string of at most, and of at least, so many characters, all of which UTF-8 can say."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise wrong(param, "a string", value)
        if len(value) > most:
            raise EventError(
                "string_above_max_length",
                f"`{param}` is too long: it may have {most} characters, and has {len(value)}.",
                param,
            )
        if len(value) < least:
            raise wrong(param, f"a string of at least {least} characters", value)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise wrong(param, "a string without lone surrogates", "") from None
        return value

    return check


def choice(*allowed: str) -> Check:
    """One of some strings."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise wrong(param, f"one of {', '.join(map(repr, allowed))}", value)
        return value

    return check


def flag(value: Any, param: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(param, "true or false", value)
    return value


def number(low: float, high: float) -> Check:
    """A number within a range."""

    def check(value: Any, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(param, "a number", value)
        if not low <= value <= high:
            raise wrong(param, f"a number from {low} to {high}", value)
        return value

    return check


def whole(low: int, high: int) -> Check:
    """A whole number within a range; 500.0 is one, too."""
    within = number(low, high)

    def check(value: Any, param: str) -> int:
        if within(value, param) != int(value):
            raise wrong(param, "a whole number", value)
        return int(value)

    return check


def either(wanted: str, *checks: Check) -> Check:
    """What one of the checks takes; `wanted` says what that is."""

    def check(value: Any, param: str) -> Any:
        for each in checks:
            try:
                return each(value, param)
            except EventError:
                continue
        raise wrong(param, wanted, value)

    return check


def list_of(each: Check, most: int = MAX_LIST) -> Check:
    """A list of at most so many."""

    def check(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong(param, "a list", value)
        if len(value) > most:
            raise EventError(
                "array_above_max_length", f"`{param}` may have {most} elements.", param
            )
        return [each(element, f"{param}[{index}]") for index, element in enumerate(value)]

    return check


def record(
    fields: Mapping[str, Check],
    required: tuple[str, ...] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Check:
    """An object with these fields. Others are left out: real clients send what no schema has.

    Null in a field that may be absent is kept, as it means the default.

    Args:
        fields: The check of each.
        required: Those that must be there.
        defaults: What is put in for fields that are absent or null.
    """

    def check(value: Any, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(param, "an object", value)
        found: dict[str, Any] = {}
        for name, field in fields.items():
            place = f"{param}.{name}" if param else name
            if value.get(name) is not None:
                found[name] = field(value[name], place)
            elif name in required:
                raise missing(place)
            elif name in value:
                found[name] = None
        if defaults is not None:
            given = {name: each for name, each in found.items() if each is not None}
            return {**defaults, **given}
        return found

    return check


def tagged(kinds: Mapping[str, Check], tag: str = "type") -> Check:
    """An object whose kind is in a field of it, which stays in the result."""
    known = choice(*kinds)

    def check(value: Any, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(param, "an object", value)
        if value.get(tag) is None:
            raise missing(f"{param}.{tag}")
        kind = known(value[tag], f"{param}.{tag}")
        return {tag: kind, **kinds[kind](value, param)}

    return check


def free(most: int = MAX_TEXT) -> Check:
    """An object of any content that has at most so many bytes as JSON."""

    def check(value: Any, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(param, "an object", value)
        if json_size(value, param) > most:
            raise EventError(
                "string_above_max_length", f"`{param}` is longer than {most} bytes as JSON.", param
            )
        return value

    return check


def json_size(value: Any, param: str) -> int:
    """How many bytes a value has as JSON.

    Raises:
        EventError: JSON cannot say it: a number such as 1e999, or nested too deep.
    """
    try:
        return length(as_json(value, strict=True))
    except (ValueError, RecursionError):
        raise EventError("invalid_value", f"`{param}` cannot be said in JSON.", param) from None
