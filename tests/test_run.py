"""tests/run.sh, with a program in pytest's place that ends as it is told."""

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.sh")
NONE = 5  # what pytest ends with where there is no such test
PROGRAM = """#!/bin/sh
echo "$*" >>"$0.said"
case "$*" in
    *"not alone"*) exit {others} ;;
    *) exit {alone} ;;
esac
"""


@pytest.mark.parametrize(
    ("others", "alone", "code"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (NONE, 0, 0), (0, NONE, 0), (NONE, NONE, NONE), (1, NONE, 1)],
)
def test_it_fails_where_any_part_does(tmp_path: Path, others: int, alone: int, code: int) -> None:
    program = tmp_path / "pytest"
    program.write_text(PROGRAM.format(others=others, alone=alone))
    program.chmod(0o755)
    done = subprocess.run([RUN, program, "-k", "a b"], check=False, capture_output=True)
    assert done.returncode == code
    said = Path(f"{program}.said").read_text().splitlines()
    assert all(each.endswith(" -k a b") for each in said)
    assert len(said) == (3 if os.geteuid() == 0 else 2)
