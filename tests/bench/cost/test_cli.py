"""`python -m tests.bench cost` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app

pytestmark = pytest.mark.bpf


def test_the_dataplane_is_measured() -> None:
    arguments = ["--flows", "200", "--packets", "200", "--agent", "100", "--json"]
    done = CliRunner().invoke(app, ["cost", *arguments])
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    kinds = ["IPv4 hit", "IPv6 hit", "cross-family hit", "miss", "forged STUN"]
    assert [row["packet"] for row in results["cost"]] == kinds
    assert all(row["p50"] > 0 and row["warm_p50"] > 0 for row in results["cost"])
    (agent,) = results["agent"]
    assert agent["flows"] == 100
    assert agent["resident_bytes"] > 0


def test_an_odd_number_of_flows_is_refused() -> None:
    done = CliRunner().invoke(app, ["cost", "--flows", "201"])
    assert done.exit_code == 1
    assert "even" in done.stderr
