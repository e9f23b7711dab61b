"""`python -m tests.bench density`: real calls, and figures of them."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.parametrize("loss", ["0", "0.2"])
def test_calls_are_carried_and_measured(loss: str) -> None:
    done = CliRunner().invoke(
        app, ["density", "--calls", "3", "--seconds", "1", "--loss", loss, "--json"]
    )
    (told,) = json.loads(done.stdout)
    assert (told["calls"], told["loss"]) == (3, float(loss))
    assert told["frame"] > 0
    assert told["echoed"] > 0.8  # what is lost is made up for: all frames are echoed


def test_a_table_for_people() -> None:
    done = CliRunner().invoke(app, ["density", "--calls", "1", "--seconds", "1"])
    assert "Echo calls on one core" in done.stdout
    assert done.exit_code == 0
