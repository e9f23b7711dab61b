"""The log of a run."""

import re
from pathlib import Path

import pytest

from vagrant.log import Log


def test_each_line_has_its_second_on_the_terminal_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path / "new" / "a.log")
    log("one\ntwo")
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\[ +0\.\d\] one\n\[ +0\.\d\] two\n", printed)
    assert log.path.read_text("utf-8") == printed


def test_a_log_replaces_the_one_before(tmp_path: Path) -> None:
    Log(tmp_path / "a.log")("old")
    Log(tmp_path / "a.log")("new")
    assert "old" not in (tmp_path / "a.log").read_text("utf-8")
