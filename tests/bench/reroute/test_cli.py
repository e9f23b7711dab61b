"""`python -m tests.bench reroute` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.bpf
@pytest.mark.netns
def test_a_change_is_measured_with_an_agent_and_without() -> None:
    options = ["--times", "2", "--change", "another gateway", "--json"]
    done = CliRunner().invoke(app, ["reroute", *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["times"] == 2
    rows = [(row["IP"], row["agent"]) for row in told["milliseconds"]]
    assert rows == [("IPv4", "alive"), ("IPv6", "alive"), ("IPv4", "dead"), ("IPv6", "dead")]
    assert all(0 <= row["median"] <= row["most"] for row in told["milliseconds"])


@pytest.mark.netns
def test_a_change_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app, ["reroute", "--change", "weather"])
    assert done.exit_code != 0
    assert "there is no change 'weather'" in done.output
    assert "another gateway" in done.output
