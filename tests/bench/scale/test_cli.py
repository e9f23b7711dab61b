"""`python -m tests.bench scale` writes figures, a page and pictures. None is judged here."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.scale.figures import Figures
from tests.bench.scale.plots import PICTURES
from tests.bench.scale.text import page


def test_a_quick_run(tmp_path: Path) -> None:
    output = tmp_path / "scale.json"
    done = CliRunner().invoke(app, ["scale", "--quick", "-o", str(output), "--json"])
    assert done.exit_code == 0, done.output
    figures = Figures.loads(output.read_text("utf-8"))
    assert output.with_suffix(".md").read_text("utf-8") == page(figures)
    pictures = {each.stem for each in (tmp_path / "scale").iterdir()}
    assert pictures == set(PICTURES)
    limits = json.loads(done.stdout)
    assert [each["what"] for each in limits] == [each.what for each in figures.limits]


def test_results_that_are_not_there_are_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["scale", "--mirror", str(tmp_path / "none.json")])
    assert done.exit_code == 1
    assert "none.json: No such file or directory" in done.output
