"""`python -m tests.bench replay` measures what it says. Its figures are not judged here."""

import json

from typer.testing import CliRunner

from tests.bench.__main__ import app


def test_clients_begin_against_every_rate_of_copies() -> None:
    arguments = ["replay", "--trials", "1", "--seed", "7", "--json"]
    done, again = (CliRunner().invoke(app, arguments) for _ in range(2))
    assert done.exit_code == 0, done.output
    assert done.stdout == again.stdout
    rows = json.loads(done.stdout)["rows"]
    assert [row["copies_a_second"] for row in rows] == [1, 10, 100, 1000] * 2
    assert all(row["confirmed_percent"] in (0.0, 100.0) for row in rows)
