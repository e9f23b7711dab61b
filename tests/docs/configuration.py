"""The reference of all settings, made of the tree of configuration: docs/configuration.md."""

from collections.abc import Iterator
from enum import StrEnum

from pydantic.fields import FieldInfo

from relay.cli.tree import TREE
from relay.config.found import PREFIX, is_list
from relay.config.settings import Settings

_HEAD = f"""\
# All settings

After this page you know each setting of each service, its default, and where it may be written.

A setting `max-flows` of the section `[relay]` is written in three ways; a later one of these goes
before an earlier one:

| where | how |
| --- | --- |
| a TOML file, named by `--config` or `{PREFIX}CONFIG` | `max-flows = 5000` below `[relay]` |
| the environment | `{PREFIX}RELAY_MAX_FLOWS=5000` |
| an option | `--max-flows 5000` |

For every service that has such a setting it stands above all sections of the file, or is written
`{PREFIX}MAX_FLOWS` in the environment. A setting with *several* takes a list in TOML, values with
commas between them in the environment, and its option more than once. A relative path in a file
starts where the file is. [Running a relay](relay.md#settings) has a file for all services.

Other files have pages of their own: [keys](security.md#keys), [the registry](registry.md), [back
ends](backends.md), [API keys](signaling.md#who-may-call).

This page is made of the code by `make reference`.
"""

_COMMANDS = {"agent": "icelane agent run", "up": "icelane up"}


def text() -> str:
    """The page."""
    return "\n".join([_HEAD, *(line for name in TREE for line in _section(name, TREE[name]))])


def _section(name: str, model: type[Settings]) -> Iterator[str]:
    yield f"## `[{name}]`\n"
    yield f"Read by `{_COMMANDS.get(name, f'icelane {name} run')}`.\n"
    yield "| setting | value | meaning | default |"
    yield "| --- | --- | --- | --- |"
    for field, info in model.model_fields.items():
        cells = (f"`{field.replace('_', '-')}`", _value(info), _meaning(info), _default(info))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _value(info: FieldInfo) -> str:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if info.annotation is bool:
        return "`true`, `false`"
    if isinstance(info.default, StrEnum):
        return ", ".join(f"`{choice}`" for choice in type(info.default))
    return f"`{extra['metavar']}`" + (", several" if is_list(info) else "")


def _meaning(info: FieldInfo) -> str:
    text = info.description or ""
    return text.replace("<", "&lt;").replace("*", "\\*")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if info.annotation is bool:
        return f"`{str(info.default).lower()}`"
    return str(extra["shown"]) if extra.get("shown") else f"`{info.default}`"
