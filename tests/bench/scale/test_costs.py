"""Costs come from the project's results, and from nowhere else."""

import json
from pathlib import Path
from statistics import median

import pytest

from tests.bench.errors import BenchError
from tests.bench.scale.costs import Costs
from tests.bench.scale.load import agent_share, redis_share
from tests.bench.scale.test_simulation import COSTS

DOCS = Path(__file__).parents[3] / "docs"


def test_the_projects_results_have_all() -> None:
    costs = Costs.read(DOCS / "benchmarks.json", DOCS / "mirror.json")
    figures = json.loads((DOCS / "benchmarks.json").read_text("utf-8"))["figures"]
    (sessions,) = (
        each["values"]
        for each in figures
        if each["system"] == "icelane xdp" and each["metric"] == "per_second"
    )
    assert costs.setups == median(sessions)
    assert costs.rates.keys() == {
        each["parameters"]["flows"]
        for each in figures
        if (each["system"], each["metric"]) == ("icelane xdp", "kpps")
        and each["benchmark"] == "rate"
    }
    assert max(costs.rates) == 1_000_000
    assert all(each.relay > 0 and each.redis > 0 for each in costs.requests.values())


def test_a_packet_costs_what_is_between_the_measured() -> None:
    assert COSTS.packet_seconds(0) == COSTS.packet_seconds(1) == pytest.approx(0.5e-6)
    assert COSTS.packet_seconds(1_000) == pytest.approx(0.75e-6)
    assert COSTS.packet_seconds(1_000_000) == pytest.approx(1e-6)
    assert COSTS.packet_seconds(2_000_000) == pytest.approx(1e-6)


def test_shares_are_sums_of_what_is_done() -> None:
    own = {"claim": 100.0, "release": 50.0, "refresh": 10.0}
    assert agent_share(own, 200.0, COSTS) == pytest.approx(100 / 5_000 + 360 * 20e-6)
    assert redis_share(own, 3, COSTS) == pytest.approx(160 * 5e-6 + 150 * 2 * 0.5e-6)


def test_results_without_a_figure_are_refused(tmp_path: Path) -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text("utf-8"))
    results["figures"] = [
        each for each in results["figures"] if each["parameters"].get("flows") != 1_000_000
    ]
    (tmp_path / "benchmarks.json").write_text(json.dumps(results), "utf-8")
    with pytest.raises(BenchError, match="lack icelane xdp's rate kpps 1000000 160: measure it"):
        Costs.read(tmp_path / "benchmarks.json", DOCS / "mirror.json")
    results = json.loads((DOCS / "mirror.json").read_text("utf-8"))
    results["figures"] = [each for each in results["figures"] if each["metric"] == "us"]
    (tmp_path / "mirror.json").write_text(json.dumps(results), "utf-8")
    with pytest.raises(BenchError, match="lack redis's mirror record_bytes claim: measure it"):
        Costs.read(DOCS / "benchmarks.json", tmp_path / "mirror.json")
    with pytest.raises(BenchError, match="No such file"):
        Costs.read(DOCS / "benchmarks.json", tmp_path / "none.json")
