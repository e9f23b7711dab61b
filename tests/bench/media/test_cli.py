import json

from typer.testing import CliRunner

from tests.bench.__main__ import app

QUICK = ["media", "--frames", "50", "--rounds", "1"]


def test_every_part_has_a_figure_and_a_call_is_more_than_its_codec() -> None:
    ran = CliRunner().invoke(app, [*QUICK, "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    cost = {part["name"]: part["median"] for part in found["parts"]}
    assert all(value > 0 for value in cost.values())
    for part in (
        "RTP parse",
        "playout, without decoding",
        "RTCP receive",
        "DTLS handshake, both ends",
    ):
        assert part in cost
    assert {each["name"] for each in found["capacity"]} == {"call, CELT", "call, FEC, 5 % lost"}
    for each in found["capacity"]:
        assert each["microseconds"] > cost[each["name"]]
        assert each["sessions"] == int(20_000 / each["microseconds"])


def test_the_tables_name_the_calls() -> None:
    ran = CliRunner().invoke(app, QUICK)
    assert ran.exit_code == 0, ran.output
    assert "FEC, 5 % lost" in ran.stdout
