"""The Makefile, as make reads it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 60.0  # seconds; it takes less than one


def test_no_variable_is_used_before_it_is_given() -> None:
    """A list of packages that is given further down counts as empty, and they are not installed."""
    done = subprocess.run(
        ["make", "--dry-run", "--warn-undefined-variables", "test", "ARGS="],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert [line for line in done.stderr.splitlines() if "undefined variable" in line] == []
