import json

from typer.testing import CliRunner

from tests.bench.__main__ import app
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


def test_the_tables_name_the_parts() -> None:
    ran = CliRunner().invoke(app, QUICK)
    assert ran.exit_code == 0, ran.output
    assert "speech or not" in ran.stdout


def test_word_errors() -> None:
    assert distance(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert distance(["a", "b", "c"], ["a", "x"]) == 2
    assert distance([], ["a"]) == 1
