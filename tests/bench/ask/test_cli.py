"""The benchmark of asking, with few of everything."""

import json

from typer.testing import CliRunner

from tests.bench.__main__ import app


def test_clients_that_have_moved_are_heard_whoever_tells_whose_they_are() -> None:
    options = ["--transceivers", "3", "--clients", "6", "--at-once", "2", "--json"]
    done = CliRunner().invoke(app, ["ask", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [each["source"] for each in found] == ["transceivers", "Redis"]
    assert [each["heard"] for each in found] == [6, 6]
