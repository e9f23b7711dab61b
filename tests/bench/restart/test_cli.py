"""`python -m tests.bench restart` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.bpf
@pytest.mark.netns
def test_each_restart_is_measured() -> None:
    options = ["--flows", "50", "--flows", "60", "--times", "1", "--seconds", "0.2", "--json"]
    done = CliRunner().invoke(app, ["restart", *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [each["flows"] for each in told] == [50, 60]
    assert all(each["ready"] > 0 and each["resident"] > 0 for each in told)
    assert all(0 < each["usual"] <= each["stall"] for each in told)
