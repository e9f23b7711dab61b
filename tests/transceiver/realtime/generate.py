"""Client events as the types of the official Python package allow them, for hypothesis."""

import base64
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

from tests.transceiver.realtime.strict import client_models

IDS = ("a", "b", "item_9", "root", "nowhere")
_sound = st.sampled_from([0, 20, 100, 250]).map(
    lambda ms: base64.b64encode(b"\1\0" * 24 * ms).decode()
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
# What stands in fields of these names, more often than other strings.
_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "audio": _sound,
    "id": st.sampled_from(IDS),
    "item_id": st.sampled_from(IDS),
    "previous_item_id": st.sampled_from(IDS),
    "event_id": st.sampled_from(["event_of_mine", "e" * 513]),
    "audio_end_ms": st.integers(-1, 200),
    "content_index": st.integers(-1, 1),
}


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["", "x", "auto", "hello there"]),
    int: st.sampled_from([0, 1, 300, 6000, -1]),
    float: st.sampled_from([0.0, 0.5, 1.0, 1.5, -1.0]),
    bool: st.booleans(),
}


def values(annotation: Any, name: str = "") -> st.SearchStrategy[Any]:
    """JSON of a type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(inner[0], name)
    if origin in (Union, UnionType):
        return st.one_of([values(each, name) for each in inner if each is not NoneType])
    containers: dict[Any, Any] = {
        Literal: lambda: st.sampled_from(inner),
        list: lambda: st.lists(values(inner[0], name), max_size=2),
        dict: lambda: st.dictionaries(st.text(max_size=3), values(inner[1]), max_size=2),
    }
    if origin in containers:
        found: st.SearchStrategy[Any] = containers[origin]()
        return found
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: model(annotation))
    return _LIKELY.get(name, _PLAIN.get(annotation, _json))


def model(of: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON of a model: what it requires, and some of the rest."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in of.model_fields.items():
        into = required if field.is_required() else optional
        into[field.alias or name] = values(field.annotation, name)
    return st.fixed_dictionaries(required, optional=optional)


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Events of all types."""
    return st.one_of([model(each) for each in client_models().values()])
