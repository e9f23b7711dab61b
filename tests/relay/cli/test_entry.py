"""The very beginning of the command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.relay.cli.commands import LIMIT

RUN = "from relay.cli.entry import main; main()"


@pytest.mark.parametrize("module", ["typer", "relay.cli.errors"])
def test_ctrl_c_while_it_is_imported_is_silent(tmp_path: Path, module: str) -> None:
    """As other tools die of it: the signal itself, which a shell tells as 130."""
    interrupt = f"""
import importlib.abc, os, signal, sys
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""
    ran = subprocess.run(
        [sys.executable, "-c", interrupt + RUN, "--version"],
        capture_output=True,
        timeout=LIMIT,
        check=False,
        cwd=tmp_path,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, b"", b"")


def test_then_it_runs() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", RUN.replace("main()", "import sys; sys.argv[1:] = ['-h']; main()")],
        capture_output=True,
        timeout=LIMIT,
        check=False,
        env=os.environ,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Exit codes:" in ran.stdout
