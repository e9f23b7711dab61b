"""How commands explain themselves: plain help for 80 columns, with examples, as kubectl has it.

A command's docstring is its help. Paragraphs are wrapped anew, and what stands below ``Examples:``
is shown as it is; an epilog that begins so will do, too. Options and arguments that are missing are
told all at once.
"""

import re
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from relay.errors import ConfigError

EXAMPLES = "Examples:"

# What is written behind an option, by typer's name of its type.
_METAVARS = {
    **dict.fromkeys(("int", "float", "int range", "float range"), "NUMBER"),
    **dict.fromkeys(("str", "list[str]"), "TEXT"),
    **dict.fromkeys(("path", "file", "directory"), "PATH"),
    "list[int]": "NUMBER",
}


class Command(TyperCommand):
    """A command whose help is plain."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take its arguments and options.

        Raises:
            ConfigError: Some are missing: it names them all.
        """
        if not ctx.resilient_parsing:
            _require_all(self, ctx, args)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands in its usage line behind its name."""
        return ["[OPTIONS]", *map(_placed, _arguments(self, ctx))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write its help."""
        _write_text(self, ctx, formatter)
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help is plain."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the arguments; without any, the help is shown, and the exit code is that of usage.

        Raises:
            Exit: There are none.
        """
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(ConfigError.exit_code)
        return super().parse_args(ctx, args)

    def headings(self) -> Iterable[tuple[str, Iterable[str]]]:
        """The names of its commands below headings, as the help has them."""
        return [("Commands", list(self.commands))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write its help."""
        _write_text(self, ctx, formatter)
        for heading, names in self.headings():
            found = [(name, self.get_command(ctx, name)) for name in names]
            shown = [(name, each) for name, each in found if each and not each.hidden]
            rows = [(name, first_sentence(each)) for name, each in shown]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        _write_parameters(self, ctx, formatter)


def dress(app: typer.Typer) -> typer.Typer:
    """Give all commands and groups of a command line this help, whoever made them."""
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            dress(group.typer_instance)
    if getattr(app.info.cls, "value", app.info.cls) in (None, TyperGroup):
        app.info.cls = Group
    return app


def split_help(text: str) -> tuple[str, list[str]]:
    """A help's prose, and the lines of its examples, without their margin. Pure."""
    prose, _, examples = text.partition(f"{EXAMPLES}\n")
    lines = examples.rstrip().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return prose.rstrip(), [line[margin:] for line in lines]


def examples_of(command: Any) -> list[str]:
    """The lines of a command's examples."""
    _, examples = split_help(command.help or "")
    _, of_epilog = split_help(command.epilog or "")
    return examples + [line for line in of_epilog if line]


def first_sentence(command: Any) -> str:
    """What a list of commands says of one."""
    paragraph = split_help(command.help or "")[0].partition("\n\n")[0]
    sentence = re.match(r".*?[.:](?=\s[A-Z]|$)", " ".join(paragraph.split()))
    return sentence[0] if sentence else paragraph


def _write_text(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    prose, _ = split_help(command.help or "")
    examples = examples_of(command)
    if prose:
        formatter.write_paragraph()
        formatter.write_text(prose)
    if examples:
        with formatter.section(EXAMPLES.rstrip(":")):
            for line in examples:
                formatter.write(f"  {line}".rstrip() + "\n")


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    arguments = [(_written(each), each.help or "") for each in _arguments(command, ctx)]
    options = [
        record
        for each in command.get_params(ctx)
        if each.param_type_name == "option" and (record := _record(each, ctx)) is not None
    ]
    for heading, rows in (("Arguments", arguments), ("Options", options)):
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def _record(option: Any, ctx: Any) -> tuple[str, str] | None:
    """An option as it is written, and what it does."""
    record = option.get_help_record(ctx)
    if record is None:
        return None
    name, text = record
    if isinstance(option.show_default, str):  # which typer puts into brackets of its own
        text = text.replace(f"({option.show_default})", option.show_default)
    return re.sub(r"<(.+)>", lambda found: _METAVARS.get(found[1], found[1]), name), text


def _arguments(command: Any, ctx: Any) -> list[Any]:
    return [
        each
        for each in command.get_params(ctx)
        if each.param_type_name == "argument" and not each.hidden
    ]


def _written(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _placed(argument: Any) -> str:
    """An argument in a usage line."""
    name = _written(argument) if argument.required else f"[{_written(argument)}]"
    return name if argument.nargs == 1 else f"{name}..."


def _require_all(command: Any, ctx: Any, args: list[str]) -> None:
    if any(name in args for name in ctx.help_option_names):
        return
    given, _, _ = command.make_parser(ctx).parse_args(args=list(args))
    missing = [
        each
        for each in command.get_params(ctx)
        if each.required and each.value_is_missing(each.consume_value(ctx, given)[0])
    ]
    if missing:
        raise ConfigError(*(f"{_named(each, ctx)} is missing: {_said(each)}" for each in missing))


def _named(parameter: Any, ctx: Any) -> str:
    if parameter.param_type_name == "argument":
        return _written(parameter)
    record = _record(parameter, ctx)
    return record[0] if record else parameter.opts[0]


def _said(parameter: Any) -> str:
    """The help of a parameter, as the end of a sentence."""
    text = str(parameter.help or "it is needed").rstrip(".")
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"
