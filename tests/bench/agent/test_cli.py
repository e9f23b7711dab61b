import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.agent import measure
from tests.bench.agent.measure import distance

QUICK = ["agent", "--rounds", "1", "--sentences", "2"]


def test_every_part_has_a_figure_and_the_grammar_is_understood() -> None:
    ran = CliRunner().invoke(app, [*QUICK, "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    cost = {row["part"]: row["median"] for row in found["costs"]}
    assert {"24 to 16 kHz", "speech or not", "ear", "voice heart", "voice espeak"} <= set(cost)
    assert cost["ear"] > cost["24 to 16 kHz"]
    assert all(row["median"] > 0 for row in found["delays"])
    assert {row["what"] for row in found["memory"]} >= {"ear, each session"}
    assert {row["voice"] for row in found["understanding"]} == {"heart", "espeak"}
    quiet = found["understanding"][0]
    assert (quiet["word_errors"], quiet["silent"]) == (0, 0)


def test_the_tables_name_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "memory": measure.Memory("ear, each session", 1234.5),
        "costs": measure.Cost("speech or not", 0.51234, 0.5),
        "delays": measure.Delay("voice heart", 12.3, 45.6),
        "understanding": measure.Understanding("heart", 0.0, 0.25, 0.0, 0.0),
    }
    for name, row in rows.items():
        monkeypatch.setattr(measure, name, lambda *_, row=row: [row])
    ran = CliRunner().invoke(app, QUICK)
    assert ran.exit_code == 0, ran.output
    for said in ("ear, each session", "1234", "speech or not", "0.512", "12.3", "word errors"):
        assert said in ran.stdout


def test_word_errors() -> None:
    assert distance(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert distance(["a", "b", "c"], ["a", "x"]) == 2
    assert distance([], ["a"]) == 1
