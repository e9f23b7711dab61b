"""Help of all commands: it fits 80 columns, has examples that can be typed, and one look."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import typer
from typer.main import get_command

from relay.cli.command import Command, Group, dress, examples_of, first_sentence, split_help
from relay.cli.main import Icelane, app
from tests.relay.cli.commands import icelane, refused


def walk(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands, and groups that do something by themselves."""
    if not isinstance(command, Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name in command.commands:
        yield from walk(command.commands[name], *path, name)


LEAVES = dict(walk(get_command(app)))
EXAMPLES = [
    (path, line) for path, command in LEAVES.items() for line in examples_of(command) if line
]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_an_example(path: tuple[str, ...]) -> None:
    own = " ".join(("icelane", *path))
    assert any(own in line for line in examples_of(LEAVES[path]))


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_every_example_can_be_typed(
    path: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which relay is meant does not depend on what else this machine runs.
    monkeypatch.setattr("relay.admin.place.running", lambda: ["example"])
    monkeypatch.setattr("relay.dataplane.kernel.pins.instances", lambda: ["example"])
    typed = re.split(r" [|>] ", line)[0]
    words = shlex.split(typed, comments=True)
    while "=" in words[0]:  # a variable of the environment
        words.pop(0)
    assert words.pop(0) == "icelane"
    context = get_command(app).make_context("icelane", words)
    walked: list[str] = []
    while isinstance(context.command, Group) and (context._protected_args or context.args):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        walked.append(str(name))
        context = command.make_context(name, rest, parent=context)
    assert tuple(walked[: len(path)]) == path


COLUMNS = 80  # which typer's runner has, too


@pytest.mark.parametrize("path", [(), ("keys",), *LEAVES], ids=" ".join)
def test_prose_fits_the_terminal_and_fills_its_lines(path: tuple[str, ...]) -> None:
    shown = icelane(*path, "--help", columns=COLUMNS).stdout
    examples = {f"  {each}" for each in examples_of(LEAVES.get(path, get_command(app)))}
    lines = [each for each in shown.splitlines() if each not in examples]
    # A word that is longer than its column, such as a URL, is not cut.
    assert [each for each in lines if len(each) > COLUMNS and " " in each.strip()] == []
    assert [each for each in examples if len(each) > 100] == []
    prose = shown.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    for line, following in pairwise(prose):
        assert len(line) + 1 + len(following.split()[0]) > COLUMNS - 2, "it is broken too early"


def test_a_terminal_has_no_frames_and_no_colour() -> None:
    shown = icelane("relay", "run", "--help").stdout
    assert not set(shown) & set("│╭╰\x1b")


def test_commands_stand_below_headings() -> None:
    shown = icelane("--help", columns=80).stdout
    for heading, names in Icelane.sections.items():
        block = shown.split(f"\n{heading}:\n")[1].split("\n\n")[0]
        named = [line.split()[0] for line in block.splitlines() if line[2:3] != " "]
        assert named == list(names)
    assert "Others" not in shown


def test_a_command_without_a_heading_is_shown_all_the_same() -> None:
    class Root(Icelane):
        sections: ClassVar = {"Run": ("up",)}
        places: ClassVar = {"up": "relay.cli.up", "top": "relay.cli.top"}

    assert list(Root(name="x").headings()) == [("Run", ("up",)), ("Others", ["top"])]


def test_exit_codes_are_told() -> None:
    codes = icelane("--help", columns=80).stdout.split("\nExit codes:\n")[1]
    assert re.findall(r"^  (\d+) ", codes, flags=re.MULTILINE) == ["0", "1", "2", "130", "141"]


class TestMissing:
    def test_all_that_is_missing_is_told_at_once(self) -> None:
        result = icelane("registry", "show")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            "icelane: 3 settings are wrong:",
            "  NAME is missing: as `list` names it: a relay, or CLUSTER/SLOT",
            "  --redis URL is missing: where the registry is",
            "  --keys FILE is missing: the cluster's key file",
        ]

    def test_one_is_a_sentence(self) -> None:
        line = refused(icelane("ufrag", "mint"))
        assert line == "icelane: --keys PATH is missing: the key file; see `icelane keys new`"

    def test_help_needs_nothing(self) -> None:
        assert icelane("registry", "show", "--help").exit_code == 0

    def test_a_variable_of_the_environment_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ICELANE_REDIS", "redis://127.0.0.1:1/0")
        monkeypatch.setenv("ICELANE_KEYS", "nosuch")
        assert "cannot read key file nosuch" in refused(icelane("registry", "list"))


def test_usage_is_told_with_words_of_its_arguments() -> None:
    shown = icelane("keys", "export", "--help", columns=80).stdout
    assert shown.splitlines()[0].endswith(" keys export [OPTIONS] FILE TARGET")


def test_the_prose_and_the_examples_of_a_help_are_told_apart() -> None:
    text = "Do it.\n\nMore.\n\nExamples:\n    icelane x\n        --y\n"
    assert split_help(text) == ("Do it.\n\nMore.", ["icelane x", "    --y"])
    assert split_help("Do it.") == ("Do it.", [])


def test_whoever_made_a_command_it_looks_like_all_others() -> None:
    outer, inner = typer.Typer(), typer.Typer()
    outer.add_typer(inner, name="inner")

    @outer.callback()
    def _outer() -> None:
        pass

    @inner.command(epilog="Examples:\n\nx inner one\n\nx inner two")
    def one() -> None:
        """Do one. And more."""

    @inner.callback()
    def _inner() -> None:
        pass

    group: Any = get_command(dress(outer))
    assert isinstance(group, Group)
    assert isinstance(group.commands["inner"], Group)
    command = group.commands["inner"].commands["one"]
    assert isinstance(command, Command)
    assert first_sentence(command) == "Do one."
    assert examples_of(command) == ["x inner one", "x inner two"]
