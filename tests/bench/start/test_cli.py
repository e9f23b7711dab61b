"""`python -m tests.bench start` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app

pytestmark = [pytest.mark.bpf, pytest.mark.netns]


def test_a_start_is_measured_step_by_step() -> None:
    done = CliRunner().invoke(app, ["start", "--flows", "50", "--starts", "2", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["flows"], told["starts"]) == (50, 2)
    steps = {row["step"]: row["least"] for row in told["milliseconds"]}
    assert steps["command to first packet"] > 0
    assert steps["of that load"] > 0
    assert steps["all flows restored"] >= steps["of that load"] + steps["of that restore"]
