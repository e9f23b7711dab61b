"""`python -m tests.bench loop` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.bpf
@pytest.mark.netns
def test_the_turns_of_each_phase_are_told() -> None:
    done = CliRunner().invoke(app, ["loop", "--flows", "50", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["flows"] == 50
    names = [row["phase"] for row in told["phases"]]
    assert names == ["restore", "flows", "adoption", "sweeps, mirror"]
    for row in told["phases"]:
        assert row["turns"] > 0
        assert row["over 20 ms"] <= row["over 10 ms"] <= row["over 5 ms"] <= row["turns"]
