import json

from typer.testing import CliRunner

from tests.bench.__main__ import app

QUICK = ["loss", "--quick", "--seconds", "15", "--runs", "1", "--no-neteq", "--no-scores"]


def test_each_network_has_its_figures() -> None:
    ran = CliRunner().invoke(app, [*QUICK, "--json"])
    assert ran.exit_code == 0, ran.output
    clean, lossy, episode = json.loads(ran.stdout)
    assert clean["network"] == "0 % 0 ms"
    assert clean["concealed"] == clean["silence"] == 0
    assert 0.02 < clean["delay"] < 0.06
    assert lossy["network"] == "10 % 0 ms"
    assert 0.01 < lossy["concealed"] < 0.12
    assert lossy["silence"] <= 0.04
    assert clean["back"] is lossy["back"] is None
    assert 0.5 < episode["back"] < 2.3
    assert clean["score"] is None


def test_the_table_names_the_networks() -> None:
    ran = CliRunner().invoke(app, QUICK)
    assert ran.exit_code == 0, ran.output
    assert "100 ms for 3 s" in ran.stdout
