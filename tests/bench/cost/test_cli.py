"""`python -m tests.bench cost` measures what it says. Its figures are not judged here."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.cost import live

FLOWS = 200
KINDS = [
    *(["IPv4 hit"] * 2 + ["constant NAT"] * 2 + ["bare redirect"] * 2 + ["FIB ceiling"] * 2),
    *(["miss", "forged STUN"] + ["IPv6 hit"] * 2 + ["cross-family hit"] * 2),
]


@pytest.mark.bpf
@pytest.mark.netns
def test_the_dataplane_is_measured() -> None:
    arguments = ["--quick", "--flows", str(FLOWS), "--repeats", "1", "--no-live", "--json"]
    done = CliRunner().invoke(app, ["cost", *arguments])
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    assert [row["packet"] for row in results["cost"]] == KINDS
    hits = [row for row in results["cost"] if row["packet"].endswith("hit")]
    assert all(row["min"] > 0 and row["cold_min"] > 0 for row in hits)
    assert {row["way"] for row in hits} == {"to transceiver", "to client"}
    (agent,) = results["agent"]
    assert agent["flows"] == results["reading"][0]["flows"] == results["scan"][0]["flows"] == FLOWS
    assert agent["resident_bytes"] > 0
    assert {row["family"] for row in results["memory"]} == {"IPv4", "IPv6", "cross-family"}
    assert "live" not in results
    assert not results["aims"]  # there are none for so few flows


@pytest.mark.bpf
@pytest.mark.netns
def test_live_packets_of_both_are_measured() -> None:
    (kpps,) = live.measure(live.Effort((2,), rounds=1, rate_seconds=0.05, cpu_seconds=0.0), 2)
    assert (kpps.flows, kpps.figure) == (2, live.KPPS)
    assert kpps.icelane > 0
    assert kpps.min == kpps.median == kpps.max == kpps.icelane / kpps.constant_nat


def test_a_number_of_flows_that_cannot_be_is_refused() -> None:
    done = CliRunner().invoke(app, ["cost", "--flows", "0"])
    assert done.exit_code == 2
    assert "--flows" in done.stderr
