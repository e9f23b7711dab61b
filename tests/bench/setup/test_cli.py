"""`python -m tests.bench setup` measures what it says. Its figures are not judged here."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.errors import BenchError
from tests.bench.setup.measure import STEPS, measure


@pytest.mark.netns
@pytest.mark.e2e
def test_each_step_comes_after_the_round_trips_that_it_needs() -> None:
    arguments = ["setup", "--client", "aiortc", "--rounds", "1", "--dataplane", "userspace"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["round_trip_ms"] == 100.0
    assert [(row["client"], row["variant"]) for row in told["rows"]] == [
        ("aiortc", "stock"),
        ("aiortc", "dcid"),
    ]
    for row in told["rows"]:
        post, check, dtls, sound, created = (row["steps"][step]["median_ms"] for step in STEPS)
        # The client tells of the end of DTLS, perhaps late; sound is seen on the wire.
        assert post < check < min(dtls, sound)
        assert dtls < created
        assert post >= 100
        assert check >= 200
        assert row["steps"]["POST"]["round_trips"] >= 1


def test_unknown_clients_and_variants_are_refused() -> None:
    how: dict[str, Any] = {
        "dataplane": "xdp",
        "round_trip": 0.1,
        "rounds": 1,
        "progress": print,
    }
    with pytest.raises(BenchError, match="use chromium, aiortc"):
        list(measure(["netscape"], None, **how))
    with pytest.raises(BenchError, match="use stock, dcid"):
        list(measure(["aiortc"], ["SNAP"], **how))
