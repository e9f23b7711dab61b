"""Background processes: none but our own is ever stopped, and none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import process as process_module
from tests.lab.process import BackgroundProcess, Process

WAIT = 10.0  # seconds; a limit
POLL_SECONDS = 0.01


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child
        child.kill()


def test_a_running_process_is_remembered_and_stopped(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    Process.of(sleeper.pid).save(tmp_path / "pid")
    process = Process.load(tmp_path / "pid")
    assert process is not None
    assert process.alive()
    assert process.stop(WAIT)
    assert not process.alive()
    assert process.stop(WAIT)


def test_another_process_with_the_same_number_is_left_alone(
    sleeper: subprocess.Popen[bytes],
) -> None:
    pid, started = Process.of(sleeper.pid)
    stranger = Process(pid, started - 1)
    assert not stranger.alive()
    assert stranger.stop(WAIT)
    assert Process(pid, started).alive()


def test_a_process_that_will_not_go_is_ended_by_force() -> None:
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('here', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = Process.of(child.pid)
        assert not process.stop(0.1)
        assert not process.alive()


def test_a_child_that_ended_is_not_alive_though_nobody_asked_for_it() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    process = Process.of(pid)
    assert process.wait(WAIT)
    process.signal(signal.SIGKILL)


@pytest.mark.parametrize("content", ["", "12", "a b", "1 2 3"])
def test_a_damaged_process_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert Process.load(tmp_path / "pid") is None
    assert Process.load(tmp_path / "missing") is None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_output(process: BackgroundProcess, wanted: str) -> None:
    deadline = time.monotonic() + WAIT
    while process.output() != wanted:
        assert time.monotonic() < deadline, process.output()
        time.sleep(POLL_SECONDS)


def test_what_it_says_can_be_read_while_it_goes_on(tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    wait = f"while [ ! -e {go_on} ]; do sleep {POLL_SECONDS}; done"
    with BackgroundProcess(
        ["sh", "-c", f"echo one; {wait}; echo two; echo oh >&2; exit 3"]
    ) as process:
        wait_for_output(process, "one\n")
        assert process.status is None
        assert not process.wait(0)
        go_on.touch()
        assert process.wait(WAIT)
        assert process.output() == "one\ntwo\n"
        assert process.last_error_line() == "oh"
    assert process.status == 3


def test_without_errors_it_says_so() -> None:
    with BackgroundProcess(["true"]) as process:
        assert process.wait(WAIT)
        assert process.last_error_line() == "it printed nothing"


def test_it_may_say_something_when_it_is_interrupted() -> None:
    with BackgroundProcess(
        ["sh", "-c", "trap 'echo bye; exit 0' INT; echo on; while :; do :; done"]
    ) as it:
        wait_for_output(it, "on\n")
        it.interrupt()
        assert it.wait(WAIT)
        assert it.output() == "on\nbye\n"


@pytest.mark.parametrize("first", ["", "trap '' TERM; "], ids=["polite", "stubborn"])
def test_it_is_gone_afterwards(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS", 0.1)
    with BackgroundProcess(["sh", "-c", f"{first}echo on; while :; do :; done"]) as process:
        wait_for_output(process, "on\n")
    assert not alive(process.pid)
