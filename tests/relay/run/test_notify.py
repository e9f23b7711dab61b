"""What a service manager hears of a service: a real socket takes its place."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.run.notify import ServiceManager
from tests.relay.run.test_service import LIMIT, SERVICE

CHILD = "print(*[each for each in __import__('os').environ if 'NOTIFY' in each or 'WATCH' in each])"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's socket, at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind(str(tmp_path / "notify"))
        own.settimeout(LIMIT)
        yield own


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_it_hears_when_a_service_serves_lives_and_ends(manager: socket.socket) -> None:
    start = (
        f"import subprocess; log.info(subprocess.check_output([sys.executable, '-c', {CHILD!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(start=start, verbose=False)],
        env=os.environ | {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "50000"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = [told(manager) for _ in range(4)]
    assert first[0] == ["READY=1", "STATUS=ready: serving 4711"]
    assert first[1:] == [["WATCHDOG=1"]] * 3
    process.send_signal(signal.SIGTERM)
    while (last := told(manager)) == ["WATCHDOG=1"]:
        pass
    assert last == ["STOPPING=1", "STATUS=ending"]
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert "service: b'\\n'" in errors  # its children do not speak for it


def test_the_abstract_namespace(tmp_path: Path) -> None:
    name = f"icelane-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind(f"\0{name}")
        own.settimeout(LIMIT)
        ServiceManager(f"@{name}").tell(READY="1")
        assert told(own) == ["READY=1"]


def test_a_manager_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "nobody")).tell(READY="1")


@pytest.mark.parametrize(
    ("environment", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_one_process(
    environment: dict[str, str], watchdog: float | None
) -> None:
    given = {"NOTIFY_SOCKET": "/run/systemd/notify", "PATH": "/bin", **environment}
    assert ServiceManager.take(given, 7) == ServiceManager("/run/systemd/notify", watchdog)
    assert given == {"PATH": "/bin"}
