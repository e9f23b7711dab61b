"""`python -m tests.bench run`, `report`, `check` and `systems`, as one types them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relay.netns.host import NAMESPACES
from tests.bench.__main__ import app

END_SECONDS = 20.0


def bench(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.bpf
@pytest.mark.netns
def test_one_benchmark_is_measured_and_reported(tmp_path: Path) -> None:
    file, report = tmp_path / "results.json", tmp_path / "docs" / "report.md"
    chosen = ["--system", "plain routing", "--benchmark", "rate"]
    assert bench("run", "--quick", *chosen, "-o", str(file))[0] == 0
    (rate, _) = json.loads(file.read_text("utf-8"))["figures"]
    assert (rate["system"], rate["metric"]) == ("plain routing", "kpps")
    assert rate["values"][0] > 0
    report.parent.mkdir()
    assert bench("report", str(file), "-o", str(report))[0] == 0
    assert "| plain routing |" in report.read_text("utf-8")
    assert (tmp_path / "docs" / "report" / "rate.svg").exists()
    code, said, _ = bench("check", str(file), "--baseline", str(file))
    assert (code, said) == (0, "No ratio moved beyond its spread.\n")


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_keeps_figures_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "results.json"
    chosen = ["--system", "plain routing", "--benchmark", "rate", "--rounds", "50"]
    command = [sys.executable, "-m", "tests.bench", "run", "--quick", *chosen, "-o", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 2" in line:
                break
        process.send_signal(number)
        assert process.wait(END_SECONDS) == 1
    results = json.loads(file.read_text("utf-8"))
    assert results["failures"] == ["the run was interrupted"]
    assert results["figures"][0]["values"][0] > 0
    assert not list(NAMESPACES.glob(f"icelane-bench-{process.pid}-*"))


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    code, _, said = bench("run", "--system", "varnish", "-o", str(tmp_path / "r.json"))
    assert code == 1
    assert "no system 'varnish'" in said


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", "utf-8")
    for arguments in (["report", str(other)], ["check", str(other), "--baseline", str(other)]):
        code, _, said = bench(*arguments)
        assert code == 1
        assert "no results of `python -m tests.bench run`" in said
    code, _, said = bench("report", str(tmp_path / "nowhere.json"))
    assert code == 1
    assert "No such file" in said


def test_systems_are_listed() -> None:
    listed = json.loads(bench("systems", "--json")[1])
    assert "icelane xdp" in [each["name"] for each in listed["systems"]]
    assert "rate" in listed["benchmarks"]
    assert "icelane xdp" in bench("systems")[1]


def test_what_moved_is_told(tmp_path: Path) -> None:
    before, now = tmp_path / "before.json", tmp_path / "now.json"
    figure = {"benchmark": "rate", "metric": "kpps", "parameters": {"payload": 160, "flows": 100}}
    about = {"machine": {}, "command": "", "started": "", "rounds": 1, "left_out": {}}
    for path, value in ((before, 80.0), (now, 40.0)):
        figures = [
            figure | {"system": "constant NAT", "values": [100.0]},
            figure | {"system": "icelane xdp", "values": [value]},
        ]
        path.write_text(json.dumps({"format": 2, "failures": [], "figures": figures} | about))
    compared = ["check", str(now), "--baseline", str(before)]
    code, said, _ = bench(*compared, "--json")
    (move,) = json.loads(said)
    assert (code, move["before"], move["now"], move["worse"]) == (0, 0.8, 0.4, True)
    assert "worse" in bench(*compared)[1]
    assert bench(*compared, "--strict")[0] == 1
