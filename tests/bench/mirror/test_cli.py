"""`python -m tests.bench mirror` measures what it says. Its figures are not judged here."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.compare.report.results import Key, Results

NAMES = {
    "claim",
    "refresh",
    "claim, 8 listeners",
    "read",
    "heard",
    "wake",
    "look up",
    "restore",
    "release",
}


def test_each_request_has_its_cost(tmp_path: Path) -> None:
    output = tmp_path / "mirror.json"
    options = ["--rounds", "1", "--records", "2000", "-o", str(output), "--json"]
    done = CliRunner().invoke(app, ["mirror", *options])
    assert done.exit_code == 0, done.output
    rows = {each["request"]: each for each in json.loads(done.stdout)}
    assert set(rows) == NAMES
    assert all(each["relay_us"] > 0 for each in rows.values())
    assert all(each["redis_us"] > 0 for name, each in rows.items() if name != "wake")
    results = Results.loads(output.read_text("utf-8"))
    (size,) = results.values(Key("mirror", "record_bytes", (("request", "claim"),), "redis"))
    assert 200 < size < 2_000


def test_fewer_records_than_are_looked_up_are_refused() -> None:
    assert CliRunner().invoke(app, ["mirror", "--records", "10"]).exit_code == 2
