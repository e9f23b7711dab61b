"""A command is imported when it is asked for, and no other."""

import subprocess
import sys

import pytest
from typer.core import TyperGroup

from relay.cli.lazy import LazyCommands

PLACES = {"keys": "relay.cli.keys", "top": "relay.cli.top"}


def test_names_are_known_before_anything_is_imported() -> None:
    commands = LazyCommands({"first": "no.such.module", "second": "nor.this"})
    assert list(commands) == ["first", "second"]
    assert len(commands) == 2
    assert "second" in commands
    assert "third" not in commands
    with pytest.raises(ModuleNotFoundError):
        commands["first"]


def test_a_group_and_a_single_command_are_made_once_by_their_names() -> None:
    commands = LazyCommands(PLACES)
    keys, top = commands["keys"], commands["top"]
    assert isinstance(keys, TyperGroup)
    assert list(keys.commands)[:2] == ["new", "add"]
    assert list(keys.commands)[-1] == "api"
    assert not isinstance(top, TyperGroup)
    assert (keys.name, top.name) == ("keys", "top")
    assert commands["top"] is top
    assert commands.get("down") is None


def test_commands_come_and_go_like_those_of_a_dict() -> None:
    commands = LazyCommands(PLACES)
    commands["other"] = top = commands["top"]
    assert list(commands) == ["keys", "top", "other"]
    assert commands["other"] is top
    del commands["keys"]
    assert "keys" not in commands


def test_one_command_leaves_the_modules_of_the_others_alone() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom relay.cli.main import app\n"
        "assert CliRunner().invoke(app, ['keys', 'new', '--help']).exit_code == 0\n"
        "print([name for name in sys.modules if name.startswith('relay.cli.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "relay.cli.keys" in ran.stdout
    for other in ("relay.cli.relay", "relay.cli.up", "relay.cli.call", "relay.cli.tree"):
        assert other not in ran.stdout
