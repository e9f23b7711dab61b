"""Output of commands: one shape of JSON, and tables that fit where they are shown."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from relay.cli.output import Admin, Running, print_json, print_rows
from relay.dataplane.kernel import pins
from relay.errors import AdminError

ROWS = [
    {"name": "flows4", "type": "hash", "max_entries": "131072"},
    {"name": "build", "type": "array", "max_entries": "1"},
]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")


@pytest.mark.parametrize("value", [ROWS, [], {"instance": "blue", "flows": 3}], ids=["3", "0", "1"])
def test_json_is_read_back_as_it_was(
    value: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(value)
    assert json.loads(capsys.readouterr().out) == value


@pytest.mark.usefixtures("wide")
def test_records_are_a_table_with_the_names_of_their_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows(ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "type", "max_entries"],
        ["flows4", "hash", "131072"],
        ["build", "array", "1"],
    ]
    cells = zip(lines, ("type", "hash", "array"), strict=True)
    assert len({line.index(cell) for line, cell in cells}) == 1


@pytest.mark.usefixtures("narrow")
def test_where_a_table_is_too_wide_fields_stand_below_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows(ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "name         flows4",
        "type         hash",
        "max_entries  131072",
        "",
        "name         build",
        "type         array",
        "max_entries  1",
        "",
    ]


@pytest.mark.usefixtures("wide")
def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"address": "[fd00::1]:3478"}])
    assert "[fd00::1]:3478" in capsys.readouterr().out


@pytest.mark.usefixtures("wide")
def test_a_table_that_just_fits_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for width in range(60, 80):
        print_rows([{"left": "x" * width, "right": "y" * 10}])
        out = capsys.readouterr().out
        assert "x" * width in out
        assert "y" * 10 in out


@pytest.mark.parametrize(
    ("live", "arguments", "told"),
    [
        ([], [], "default"),
        (["up"], [], "up"),
        (["blue", "default"], [], "default"),
        (["up"], ["--instance", "blue"], "blue"),
        (["blue", "up"], ["--instance", "up"], "up"),
        (["blue", "up"], ["--admin", "a.sock"], "default"),
    ],
)
def test_without_a_name_the_relay_that_runs_is_meant(
    *, runtime: Path, live: list[str], arguments: list[str], told: str
) -> None:
    with listening(runtime, live):
        assert CliRunner().invoke(shown, arguments).output == f"{told}\n"


def test_where_no_agent_runs_the_only_one_that_is_loaded_is_meant(runtime: Path) -> None:
    for number, name in enumerate(("blue", "green")):
        directory = runtime / "bpf" / name
        directory.mkdir(parents=True)
        (directory / "program").touch()
        told = CliRunner().invoke(shown, []).output
        assert told == ("default\n" if number else "blue\n")


def test_of_several_relays_one_must_be_named(runtime: Path) -> None:
    with listening(runtime, ["up", "blue"]):
        error = CliRunner().invoke(shown, []).exception
    assert isinstance(error, AdminError)
    assert str(error) == "several relays run here: name one with --instance: blue, up"


shown = typer.Typer()


@shown.command()
def _show(*, instance: Running = "", admin: Admin = None) -> None:
    del admin  # it is only looked whether there is one
    typer.echo(instance)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agents of a user are; nothing is loaded."""
    monkeypatch.setattr(pins, "ROOT", tmp_path / "bpf")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def listening(runtime: Path, names: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for name in names:
            agent = stack.enter_context(socket.socket(socket.AF_UNIX))
            agent.bind(str(runtime / f"icelane-{name}.sock"))
            agent.listen()
        yield
