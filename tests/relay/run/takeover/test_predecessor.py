"""An agent that runs, as the one sees it that is to take its place."""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import AdminError
from relay.run.takeover import predecessor
from relay.run.takeover.predecessor import Predecessor, find

LIMIT = 20.0  # seconds
# An agent that knows nothing of this, and ends by SIGTERM, as all do.
OLDER = """
import signal, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    if connection.recv(4096):
        connection.sendall(sys.argv[2].encode() + b"\\n")
    connection.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@pytest.fixture
def older(path: Path, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """An agent that answers like this."""
    command = [sys.executable, "-c", OLDER, str(path), request.param]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_where_nobody_runs_nobody_is_found(path: Path) -> None:
    assert find(path, 1) is None


@pytest.mark.parametrize(
    ("older", "reason"),
    [
        ('{"error": "unknown command; known are status"}', "it is of an older version"),
        ('{"error": "it has 4 workers"}', "it has 4 workers"),
        ('{"strange": 1}', "what it says is no answer"),
        ("no JSON", "the other agent says what is no message"),
    ],
    indirect=["older"],
)
def test_who_cannot_hand_over_is_stopped_and_it_is_said_why(
    older: "subprocess.Popen[str]", reason: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert find(path, 1) is None
    assert older.wait(LIMIT) < 0
    (warning,) = caplog.messages
    assert f"cannot hand over: {reason}" in warning
    assert "calls lose packets until their flows are restored" in warning


def test_who_does_not_end_is_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessor, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(predecessor, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        with pytest.raises(AdminError, match="does not end within"):
            find(path, 1)


def test_somebody_elses_agent_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it is stopped"))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(AdminError, match="run it as that user, or choose another --instance"):
            find(path, 1)


@pytest.mark.parametrize(
    "older", ['{"error": "it is in another network namespace"}'], indirect=True
)
def test_an_agent_in_another_network_namespace_is_left_alone(
    older: "subprocess.Popen[str]", path: Path
) -> None:
    with pytest.raises(AdminError, match=r"is left alone: .*or choose another --instance"):
        find(path, 1)
    assert older.poll() is None


def test_it_has_ended_when_nobody_is_at_its_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        found = _asked(path, listener, b'{"sockets": [], "steers": true}\n')
        assert found.steers
        assert not found.has_ended
    assert found.has_ended
    found.close()


def _asked(path: Path, listener: socket.socket, answer: bytes) -> Predecessor:
    """What becomes of one that is asked, and answers like this."""

    def answers() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(answer)
        connection.close()

    thread = threading.Thread(target=answers)
    thread.start()
    found = Predecessor.ask(path, 1)
    thread.join(LIMIT)
    return found
