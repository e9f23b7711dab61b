"""`python -m vagrant`: how it ends where no machine can be run."""

import fcntl
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vagrant import __main__ as command_line

COMMANDS = ["image", "box", "test", "shell"]


def vagrant(*arguments: str) -> Result:
    return CliRunner().invoke(command_line.app, arguments)


@pytest.fixture(autouse=True)
def _nothing_of_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICELANE_VM_CACHE", str(tmp_path / "vm"))
    monkeypatch.setattr(command_line, "LOCK", tmp_path / "lock")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_root_the_error_says_what_to_do(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = vagrant(command)
    assert result.exit_code == 1
    assert "sudo" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.netns
@pytest.mark.parametrize("command", COMMANDS)
def test_two_at_once_are_refused(command: str) -> None:
    with command_line.LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = vagrant(command)
    assert result.exit_code == 1
    assert "A machine is running already; wait for its end." in result.stderr


@pytest.mark.netns
@pytest.mark.parametrize("command", COMMANDS)
def test_a_cache_that_cannot_be_written_is_told_in_one_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ICELANE_VM_CACHE", str(tmp_path / "file"))
    result = vagrant(command)
    assert result.exit_code == 1
    assert "ICELANE_VM_CACHE" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_accelerator_that_does_not_exist_is_wrong_usage() -> None:
    result = vagrant("test", "--accelerator", "hax")
    assert result.exit_code == 2
    assert "'kvm', 'tcg', 'auto'" in result.stderr
