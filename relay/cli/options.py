"""Options of a command, made from the settings of its section, so that both are the same."""

import inspect
import os
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from relay.cli.complete import instances, interfaces
from relay.cli.tree import TREE
from relay.config.conflict import ConflictError, option
from relay.config.found import PREFIX, Found, is_list
from relay.config.settings import Settings

CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar=f"{PREFIX}CONFIG",
        help="A TOML file with these settings by the same names.",
        readable=False,  # who reads it says why not, and what helps
    ),
]


# Settings whose values this host knows.
_COMPLETED = {"instance": instances, "interface": interfaces}


def with_settings(
    model: type[Settings], only: Collection[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the settings of a section as its first argument.

    The command gets an option for each of them, and ``--config``.

    Args:
        model: The section.
        only: The settings that have options; None for all.
    """
    offered = [name for name in _own_first(model) if only is None or name in only]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(found: Found[Settings], **others: Any) -> None:
            try:
                command(found.settings(offered), **others)
            except ConflictError as error:
                raise error.among(offered) from None

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        _settings, *own = inspect.signature(command, eval_str=True).parameters.values()
        return _with_options(model, offered, run, own)

    return decorate


def with_found(model: type[Settings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command what is found of a section's settings, whether it can be used or not.

    The command gets the same options as by `with_settings`.

    Args:
        model: The section.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _found, *own = inspect.signature(command, eval_str=True).parameters.values()
        return _with_options(model, _own_first(model), command, own)

    return decorate


def _with_options(
    model: type[Settings],
    offered: Sequence[str],
    command: Callable[..., None],
    own: Sequence[inspect.Parameter],
) -> Callable[..., None]:
    """A command that has options for settings, and those of its own behind them."""

    def run(config: Path | None = None, **values: Any) -> None:
        others = {each.name: values.pop(each.name) for each in own}
        command(model.find(values, tree=TREE, file=config, environment=os.environ), **others)

    parameters = [
        inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=CONFIG
        ),
        *(_parameter(name, model.model_fields[name]) for name in offered),
        *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _own_first(model: type[Settings]) -> list[str]:
    """The settings of a section, and behind them those that it shares with others."""
    shared = {name for base in model.__bases__ for name in getattr(base, "model_fields", ())}
    return sorted(model.model_fields, key=lambda name: name in shared)


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    """The option of a setting. It is None when not given: another source may know the value."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kind: Any = bool if info.annotation is bool else str
    details: dict[str, Any] = {"help": _sentence(info.description or ""), "show_default": False}
    if kind is str:
        details["metavar"] = extra["metavar"]
    if isinstance(info.default, StrEnum):
        choices = list(type(info.default))
        details |= {"metavar": "|".join(choices), "autocompletion": lambda: choices}
    elif name in _COMPLETED:
        details["autocompletion"] = _COMPLETED[name]
    if kind is str and not info.is_required():
        details["show_default"] = str(extra["shown"] or info.default)
    annotation: Any = list[str] if is_list(info) else kind
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, option(name), **details),
        annotation=annotation,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
