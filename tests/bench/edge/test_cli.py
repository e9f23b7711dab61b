"""`python -m tests.bench edge` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.bpf
@pytest.mark.netns
def test_both_ways_are_measured() -> None:
    done = CliRunner().invoke(app, ["edge", "--dataplane", "xdp", "--packets", "50", "--json"])
    assert done.exit_code == 0, done.output
    one, two = json.loads(done.stdout)
    assert (one["stages"], two["stages"]) == ("relay", "edge and relay")
    for each in (one, two):
        assert 0 < each["p50"] <= each["p99"]
        assert each["lost"] == 0
        assert each["kernel"] > 0.9
