"""`python -m tests.bench alternatives` and its part of the report, as one types them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.alternatives import scale
from tests.bench.alternatives.servers.atscale import Sockets
from tests.bench.alternatives.servers.systems import PORTS
from tests.bench.compare.benchmarks.benchmark import Benchmark


class Few:
    """Of all that is measured, one figure, which takes a second."""

    rounds = 1

    def benchmarks(self) -> Sequence[Sequence[Benchmark]]:
        return [[Sockets(PORTS, sessions=40)]]


@pytest.mark.netns
@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_measured_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr(scale, "QUICK", Few())
    file, compared, page = (tmp_path / name for name in ("a.json", "b.json", "page.md"))
    options = ["--quick", "--output", str(file), *(["--json"] if as_json else [])]
    done = CliRunner().invoke(app, ["alternatives", *options])
    assert done.exit_code == 0, done.output
    if as_json:
        told = json.loads(done.stdout)["cells"]
        (ports,) = (each for each in told if each["values"] and "public" in each["figure"])
        assert (ports["design"], ports["values"]) == ("a port per session", [40])
    else:
        assert "UDP sockets, 40 sessions" in done.stdout
        assert "not measured in this run" in done.stdout
    compared.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"figures": []}), "utf-8")
    reported = CliRunner().invoke(
        app, ["report", str(compared), "--alternatives", str(file), "--output", str(page)]
    )
    assert reported.exit_code == 0, reported.output
    assert "| UDP sockets, 40 sessions | " in page.read_text("utf-8")
