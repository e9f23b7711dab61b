"""`python -m tests.bench mux` measures what it says. Its figures are not judged here."""

import json

from typer.testing import CliRunner

from tests.bench.__main__ import app


def test_both_directions_are_told_both_ways() -> None:
    done = CliRunner().invoke(app, ["mux", "--datagrams", "64", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    ways = {(row["direction"], row["way"], row["at_once"]) for row in told}
    assert {("receive", "recvmmsg", 64), ("receive", "recvfrom", 64)} <= ways
    assert {("send", "sendmmsg", 64), ("send", "sendto", 1)} <= ways
    assert all(row["median"] >= row["least"] > 0 for row in told)
