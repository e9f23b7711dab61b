"""`icelane top`, asked of a relay that runs."""

from pathlib import Path

import pytest

from tests.relay.cli.commands import icelane, refused
from tests.relay.cli.conftest import Running

NOBODY = "nobody-made-this"


def test_top_looks_as_often_as_it_is_told(relay: Running) -> None:
    result = icelane("top", "--admin", relay.admin, "--count", "2", "--interval", "0.1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "userspace dataplane" in result.stdout
    assert "0 confirmed, 1 pending" in result.stdout


def test_without_relay_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("top", "--count", "1", "--admin", admin, "--instance", NOBODY), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line


@pytest.mark.parametrize(
    "options",
    [("--interval", "0"), ("--interval", "x"), ("--count", "-1")],
    ids=" ".join,
)
def test_a_rhythm_that_is_none_is_a_usage_error(options: tuple[str, str]) -> None:
    result = icelane("top", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr
