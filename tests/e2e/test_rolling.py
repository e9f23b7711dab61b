"""Every component is replaced during calls: `python -m tests.bench rolling`."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app

pytestmark = [pytest.mark.e2e, pytest.mark.bpf, pytest.mark.netns]

CALLS = 3
COMPONENTS = ["relay", "signaling", "Redis", "transceiver", "transceiver"]


@pytest.mark.parametrize("dataplane", ["xdp", "userspace"])
def test_no_call_is_dropped_and_no_packet_lost(dataplane: str) -> None:
    options = ["--dataplane", dataplane, "--calls", str(CALLS), "--json"]
    done = CliRunner().invoke(app, ["rolling", *options])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["component"] for row in rows] == COMPONENTS
    assert [row["calls"] for row in rows] == [CALLS] * len(COMPONENTS)
    assert [(row["dropped"], row["lost"]) for row in rows] == [(0, 0)] * len(COMPONENTS)
