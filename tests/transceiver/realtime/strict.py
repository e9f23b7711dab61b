"""Server events held against the models of the official Python package, more strictly than it does.

The package takes what it does not know, and passes on what does not fit. Here an event has all that
its model requires, of the right types, and nothing that the model lacks but for `KNOWN_BESIDES`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel

# OpenAI's server sends these, too; its package has no fields for them.
KNOWN_BESIDES = {
    "session": {"id", "object", "expires_at"},
}
#: Where a null says something that absence does not; elsewhere clients drop the event.
NULLS = (
    "response.conversation_id",
    "session.tracing",
    "session.audio.input.transcription",
    "session.audio.input.noise_reduction",
    "session.audio.input.turn_detection",
    "session.audio.input.turn_detection.idle_timeout_ms",
)


def members(union: Any) -> list[type[BaseModel]]:
    """The models of the package's unions of events."""
    while not isinstance(union, type) and get_args(union):
        found = [each for each in get_args(union) if isinstance(each, type)]
        if found and all(issubclass(each, BaseModel) for each in found):
            return found
        union = get_args(union)[0]
    raise TypeError(union)


@cache
def server_models() -> dict[str, type[BaseModel]]:
    return {_type_of(each): each for each in members(RealtimeServerEvent)}


@cache
def client_models() -> dict[str, type[BaseModel]]:
    return {_type_of(each): each for each in members(RealtimeClientEvent)}


def _type_of(model: type[BaseModel]) -> str:
    (kind,) = get_args(model.model_fields["type"].annotation)
    return str(kind)


def check(event: dict[str, Any]) -> BaseModel:
    """The event as the package has it.

    Raises:
        AssertionError: It is not as it must be.
    """
    model = server_models().get(event.get("type", ""))
    assert model is not None, f"no such event: {event}"
    parsed = model.model_validate(event, strict=True)
    assert not list(_unknown(parsed, "")), f"{sorted(_unknown(parsed, ''))} of {event}"
    odd = [path for path in _nulls(event, "") if not _may_be_null(path)]
    assert not odd, f"null in {odd} of {event}"
    return parsed


def _unknown(value: object, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            if name not in KNOWN_BESIDES.get(path, ()):
                yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{path}.{name}".strip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _unknown(each, f"{path}[]")
    elif isinstance(value, dict) and not path.endswith(("parameters", "metadata", "variables")):
        for name, each in value.items():
            yield from _unknown(each, f"{path}.{name}")


def _nulls(value: object, path: str) -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _nulls(each, f"{path}.{name}".strip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _nulls(each, f"{path}[]")


def _may_be_null(path: str) -> bool:
    # A client's sound must *have* its transcript; what is free in form is as the client wrote it.
    written = ("tools[].", ".tracing.metadata", ".prompt.variables", "item.error.")
    return (
        path in NULLS
        or path.endswith("content[].transcript")
        or any(each in f"{path}." for each in written)
    )
