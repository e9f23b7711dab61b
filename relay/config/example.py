"""An example of a settings file, made from the settings themselves. Pure."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from relay.config.conflict import written
from relay.config.found import is_list
from relay.config.settings import Settings
from relay.config.shown import plain

_HEAD = """\
# Settings of Icelane: `icelane config check FILE` looks for mistakes in it.
#
# What has no # in front is needed; the other lines have defaults or examples. What stands above
# the sections holds for all services. Paths start where this file is. Options and the environment
# (ICELANE_RELAY_MAX_FLOWS) count more.
"""
_WIDTH = 98  # columns of a comment, behind its mark

# Needed by a service that has no Redis.
_NEEDED = ("registry",)

# By what is written behind an option, where a setting has neither default nor example.
_BY_METAVAR = {"IP:PORT": "203.0.113.10:3478", "URL": "redis://127.0.0.1:6379/0"}


def example(sections: Mapping[str, type[Settings]]) -> str:
    """A settings file with these sections.

    Args:
        sections: The sections by name.
    """
    return "\n".join([_HEAD, *(_section(name, model) for name, model in sections.items())])


def example_value(name: str, info: FieldInfo) -> Any:
    """A value of a setting, as one writes it into a file."""
    extra = _extra(info)
    if extra["example"] is not None:
        return extra["example"]
    default = None if info.is_required() else plain(info.default)
    if default not in (None, []):
        return default[0] if isinstance(default, list) and len(default) == 1 else default
    metavar = str(extra["metavar"])
    return f"{written(name)}.toml" if metavar == "FILE" else _BY_METAVAR[metavar]


def _section(name: str, model: type[Settings]) -> str:
    settings = (_setting(each, info) for each, info in model.model_fields.items())
    return "\n".join([f"[{name}]", *settings])


def _setting(name: str, info: FieldInfo) -> str:
    mark = "" if info.is_required() or name in _NEEDED else "#"
    line = f"{mark}{written(name)} = {json.dumps(example_value(name, info))}"
    return "\n".join([*(f"# {each}" for each in _comment(info)), line, ""])


def _comment(info: FieldInfo) -> Iterator[str]:
    text = info.description or ""
    told = [f"{text[:1].upper()}{text[1:]}."]
    if is_list(info):
        told.append("May be a list.")
    if info.is_required():
        told.append("Needed.")
    elif info.annotation is not bool:
        told.append(f"Default: {_extra(info)['shown'] or plain(info.default)}.")
    return iter(textwrap.wrap(" ".join(told), _WIDTH))


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    extra = info.json_schema_extra
    return extra if isinstance(extra, dict) else {}
