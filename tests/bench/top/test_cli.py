"""`python -m tests.bench top` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.bpf
@pytest.mark.netns
def test_a_viewer_is_measured() -> None:
    done = CliRunner().invoke(app, ["top", "--flows", "200", "--seconds", "0.5", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["flows"] == 200
    assert 0 < told["median"] <= told["slowest"]
    assert told["viewer"] >= 0
    assert told["agent"] >= 0
