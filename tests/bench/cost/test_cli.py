"""`python -m tests.bench cost` measures what it says. Its figures are not judged here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.cost import dataplane, live, memory
from tests.bench.errors import BenchError

FLOWS = 200
KINDS = [
    *(["IPv4 hit"] * 2 + ["constant NAT"] * 2 + ["bare redirect"] * 2 + ["FIB ceiling"] * 2),
    *(["miss", "forged STUN", "a line of memory"] + ["IPv6 hit"] * 2 + ["cross-family hit"] * 2),
]


@pytest.mark.bpf
@pytest.mark.netns
def test_the_dataplane_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables: begin -->\nformer\n<!-- tables: end -->\nafter\n")
    arguments = ["--quick", "--flows", str(FLOWS), "--repeats", "1", "--no-live", "--json"]
    arguments += ["--write", str(page)]
    done = CliRunner().invoke(app, ["cost", *arguments])
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    assert [row["packet"] for row in results["cost"]] == KINDS
    hits = [row for row in results["cost"] if row["packet"].endswith("hit")]
    for kind in ("", "cold_"):  # one repeat; a busy machine takes longer for nothing than for a hit
        assert all(row[f"{kind}min"] == row[f"{kind}max"] != 0 for row in hits)
    assert {row["way"] for row in hits} == {"to transceiver", "to client"}
    (agent,) = results["agent"]
    assert agent["flows"] == results["reading"][0]["flows"] == results["scan"][0]["flows"] == FLOWS
    assert agent["resident_bytes"] > 0
    assert {row["family"] for row in results["memory"]} == {"IPv4", "IPv6", "cross-family"}
    assert "live" not in results
    assert not results["aims"]  # there are none for so few flows
    written = page.read_text("utf-8")
    assert "IPv6 hit" in written
    assert "former" not in written
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    done = CliRunner().invoke(app, ["cost", "--quick", "--write", str(page)])
    assert done.exit_code != 0
    assert not done.stdout


def test_what_was_measured_is_printed_though_the_rest_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> Iterator[dataplane.Result]:
        yield memory.Scan(1_000_000, 0.2, 0.3, 0.4, 0.1)
        raise BenchError("the rest fails")

    page = tmp_path / "page.md"
    page.write_text(former := "<!-- tables: begin -->\nformer\n<!-- tables: end -->\n")
    monkeypatch.setattr(dataplane, "run", run)
    done = CliRunner().invoke(app, ["cost", "--json", "--write", str(page)])
    assert done.exit_code == 1
    assert "the rest fails" in done.stderr
    (scan,) = json.loads(done.stdout)["scan"]
    assert (scan["flows"], scan["median"]) == (1_000_000, 0.3)
    assert page.read_text("utf-8") == former


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
