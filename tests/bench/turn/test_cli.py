"""`python -m tests.bench turn` measures what it says. Its figures are not judged here."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.setup.measure import STEPS
from tests.bench.turn.figures import Figures
from tests.bench.turn.text import page


@pytest.mark.netns
@pytest.mark.e2e
def test_turns_are_measured_in_a_lab(tmp_path: Path) -> None:
    pytest.importorskip("webrtc", reason="needs wrtc: `make setup-test`")
    output = tmp_path / "turns.json"
    done = CliRunner().invoke(app, ["turn", "--quick", "--turns", "2", "-o", str(output), "--json"])
    assert done.exit_code == 0, done.output
    figures = Figures.loads(output.read_text("utf-8"))
    found = {each.what: each for each in figures.turns}
    assert len(found) == len(figures.turns) == 7
    assert {each.dataplane for each in figures.turns} == {"userspace"}
    assert all(0 <= each.p50 <= each.p95 <= each.most for each in figures.turns)
    assert found["heard by the back end"].p50 > 0
    silence = found["interrupted: silence at the client"]
    assert silence.p50 > found["interrupted: last packet with sound"].p50
    answered = found["answered: first packet"]
    assert answered.p50 > found["answered: `speech_stopped`"].p50 > 500
    assert [row["dataplane"] for row in figures.began] == ["userspace", "none"]
    assert set(figures.began[0]["steps"]) == set(STEPS)
    assert output.with_suffix(".md").read_text("utf-8") == page(figures)
    assert {each["what"] for each in json.loads(done.stdout)} == set(found)


def test_what_sound_costs_is_measured() -> None:
    done = CliRunner().invoke(app, ["turn", "--appends", "--json"])
    assert done.exit_code == 0, done.output
    costs = json.loads(done.stdout)
    assert {each["milliseconds"] for each in costs} == {20, 40, 60, 100}
    base64, binary = costs[0], costs[4]
    assert base64["bytes"] > 1.3 * binary["bytes"]
    assert all(each["microseconds"] > 0 for each in costs)
    shown = CliRunner().invoke(app, ["turn", "--appends"])
    assert "base64" in shown.stdout
