"""Only processes of one's own are ever stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.process import Process

WAIT = 10.0  # seconds; a limit


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
