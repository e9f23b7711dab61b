"""The reference of the command line, made of its commands: docs/cli.md."""

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from relay.caller.errors import Failure
from relay.cli.command import examples_of, split_help
from relay.cli.errors import EXIT_CODES
from relay.cli.main import app

_HEAD = """\
# All commands

After this page you know every command of `icelane`, its options, and what its exit code means.
`icelane COMMAND --help` says the same in a terminal, and `icelane --install-completion` teaches
your shell to complete them.

An option that is also a setting may stand in a file or in the environment instead: [all
settings](configuration.md).

This page is made of the code by `make reference`.
"""

_EXIT_CODES = """\
## Exit codes

| code | meaning |
| --- | --- |
{codes}
`icelane call` tells more:

| code | meaning |
| --- | --- |
"""
_TAKEN = (Failure.INTERRUPTED,)  # stands above
_ACRONYMS = re.compile(r"\b(ice|dtls)\b")


def text() -> str:
    """The page."""
    common = "".join(f"| {code} | {why} |\n" for code, why in EXIT_CODES.items())
    codes = "".join(
        f"| {int(each)} | {_ACRONYMS.sub(lambda name: name[0].upper(), _words(each.name))} |\n"
        for each in Failure
        if each not in _TAKEN
    )
    return "\n".join(
        [
            _HEAD,
            *_commands(get_command(app), "icelane", 1),
            _EXIT_CODES.format(codes=common) + codes,
        ]
    )


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _commands(command: Any, path: str, level: int) -> Iterator[str]:
    """The section of a command, and behind it those of the commands below it."""
    context = command.context_class(command, info_name=path)
    if level > 1:
        yield f"{'#' * level} `{path}`\n"
        yield from _said(split_help(command.help or "")[0])
        yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        yield from _parameters(command, context)
        if examples := examples_of(command):
            yield "```sh\n" + "\n".join(examples) + "\n```\n"
    below = command.list_commands(context) if hasattr(command, "list_commands") else []
    for name in below:
        each = command.get_command(context, name)
        if not each.hidden:
            yield from _commands(each, f"{path} {name}", level + 1)


def _said(help_text: str) -> Iterator[str]:
    """A help text's paragraphs; one that click must not wrap (`\\b`) is shown as it is."""
    for paragraph in filter(None, help_text.strip().split("\n\n")):
        if paragraph.startswith("\b"):
            yield "```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```\n"
        else:
            yield _plain(" ".join(paragraph.split())) + "\n"


def _parameters(command: Any, context: Any) -> Iterator[str]:
    records = [
        record
        for each in command.params
        if (record := each.get_help_record(context)) and not getattr(each, "hidden", False)
    ]
    if not records:
        return
    yield "| argument or option | meaning |\n| --- | --- |"
    for name, meaning in records:
        written = name.replace("|", "\\|")
        yield f"| `{written}` | {_plain(meaning).replace('|', chr(92) + '|')} |"
    yield ""


def _plain(help_text: str) -> str:
    """What Markdown would take for HTML, as text, outside of code."""
    parts = re.split(r"(`[^`]*`)", help_text)
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace("*", "\\*")
        for part in parts
    ).strip()
