"""`python -m tests.bench flood`: at a rate that every machine sends, nobody's call suffers."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.flood.frames import ALL_KINDS


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize(
    ("system", "rate"), [("icelane xdp", 20_000), ("icelane userspace", 2_000)]
)
def test_calls_go_on_and_begin_in_a_flood(system: str, rate: int) -> None:
    arguments = ["flood", "--system", system, "--kind", ALL_KINDS, "--rate", str(rate)]
    done = CliRunner().invoke(app, [*arguments, "--seconds", "1", "--json"])
    assert done.exit_code == 0, done.output
    quiet, flooded = json.loads(done.stdout)["rows"]
    assert (quiet["flood"], flooded["flood"]) == ("quiet", ALL_KINDS)
    assert (quiet["per_second"], quiet["limited"]) == (0, {})
    assert flooded["per_second"] > 0
    for row in (quiet, flooded):
        assert row["media"] > 0 < row["begun"]
        assert (row["lost"], row["failed"]) == (0, 0)


@pytest.mark.parametrize("what", ["system", "kind"])
def test_what_there_is_not_is_told_with_what_there_is(what: str) -> None:
    done = CliRunner().invoke(app, ["flood", f"--{what}", "none"])
    assert done.exit_code == 1
    assert f"there is no {what} 'none'" in done.output
