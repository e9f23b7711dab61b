"""A command in the background: what it says can be read at any time, and it is gone afterwards."""

import os
import time
from pathlib import Path

import pytest

from tests.lab import background
from tests.lab.background import Background

WAIT = 10.0  # seconds; a limit
PATIENCE = 0.01


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def read(process: Background, wanted: str) -> None:
    """Read until it has printed something."""
    deadline = time.monotonic() + WAIT
    while process.output() != wanted:
        assert time.monotonic() < deadline, process.output()
        time.sleep(PATIENCE)


def test_what_it_says_can_be_read_while_it_goes_on(tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    wait = f"while [ ! -e {go_on} ]; do sleep {PATIENCE}; done"
    with Background(["sh", "-c", f"echo one; {wait}; echo two; echo oh >&2; exit 3"]) as process:
        read(process, "one\n")
        assert process.status is None
        assert not process.wait(0)
        go_on.touch()
        assert process.wait(WAIT)
        assert process.output() == "one\ntwo\n"
        assert process.last_words() == "oh"
    assert process.status == 3


def test_without_errors_it_says_so() -> None:
    with Background(["true"]) as process:
        assert process.wait(WAIT)
        assert process.last_words() == "it printed nothing"


def test_it_may_say_something_when_it_is_interrupted() -> None:
    with Background(
        ["sh", "-c", "trap 'echo bye; exit 0' INT; echo on; while :; do :; done"]
    ) as it:
        read(it, "on\n")
        it.interrupt()
        assert it.wait(WAIT)
        assert it.output() == "on\nbye\n"


@pytest.mark.parametrize("first", ["", "trap '' TERM; "], ids=["polite", "stubborn"])
def test_it_is_gone_afterwards(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STOP_SECONDS", 0.1)
    with Background(["sh", "-c", f"{first}echo on; while :; do :; done"]) as process:
        read(process, "on\n")
    assert not alive(process.pid)
