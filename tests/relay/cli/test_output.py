"""Output of commands: one shape of JSON, and tables that fit where they are shown."""

import json

import pytest

from relay.cli.output import print_json, print_rows

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
