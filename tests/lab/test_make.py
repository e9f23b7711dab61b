"""The lab's targets in the Makefile."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AS_NOBODY = ("setpriv", "--reuid=nobody", "--clear-groups") if os.geteuid() == 0 else ()
LIMIT = 30.0  # seconds; it takes none

readable = subprocess.run([*AS_NOBODY, "test", "-r", str(ROOT / "Makefile")], check=False)
pytestmark = pytest.mark.skipif(
    readable.returncode != 0, reason="needs a checkout that the user nobody can read"
)


@pytest.mark.parametrize("target", ["demo", "lab-up", "lab-down", "lab-shell"])
def test_without_root_make_says_so_before_it_sets_anything_up(target: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*AS_NOBODY, "make", "-C", str(ROOT), target, f"VENV={tmp_path}/venv"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert f"`sudo make {target}`" in done.stderr
    assert "virtual environment" not in done.stdout
