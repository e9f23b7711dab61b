"""`python -m tests.bench fleet`, in small: every relay dies once, nobody is lost or mistaken."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.e2e
def test_every_relay_dies_once_and_nobody_is_lost_or_mistaken(tmp_path: Path) -> None:
    output = tmp_path / "fleet.json"
    small = ("--relays", "2", "--flows", "20", "--rate", "5", "--check-every", "1")
    done = CliRunner().invoke(app, ["fleet", *small, "--json", "-o", str(output)])
    assert done.exit_code == 0, done.output
    told = json.loads(output.read_text("utf-8"))
    assert told == json.loads(done.stdout)
    assert told["killed"] == 2
    assert told["moved"] >= 20  # all of them, once at least
    assert told["lost_flows"] == 0
    assert (told["strays"], told["misdelivered"]) == ([], 0)
    assert told["redis_records"] >= 20


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--dataplane", "carrier pigeons"), "name xdp or userspace"),
        (("--flows", "100000000", "--relays", "2"), "raise that with `ulimit -n`"),
    ],
)
def test_what_cannot_be_run_is_refused(options: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(app, ["fleet", *options])
    assert done.exit_code != 0
    assert says in " ".join(done.output.split())
