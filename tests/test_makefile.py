"""The Makefile, as make reads it."""

import re
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
    # An argument that a call leaves out is a variable with a number.
    assert re.findall(r"undefined variable '\D.*", done.stderr) == []
