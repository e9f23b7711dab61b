"""Where an agent's admin socket is."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from relay.admin.place import default_path, running


@pytest.mark.parametrize(
    ("user", "runtime", "expected"),
    [
        (0, "/run/user/0", "/run/icelane/blue.sock"),
        (1000, "/run/user/1000", "/run/user/1000/icelane-blue.sock"),
        (1000, None, "/tmp/icelane-1000/icelane-blue.sock"),  # noqa: S108  # compared, not used
    ],
    ids=["root", "user", "user without a session"],
)
def test_default_path(
    monkeypatch: pytest.MonkeyPatch, user: int, runtime: str | None, expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if runtime is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert default_path("blue") == Path(expected)


def test_instances_are_those_whose_agents_take_connections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert running() == []
    (tmp_path / "icelane-junk.sock").touch()
    (tmp_path / "other.sock").touch()
    with contextlib.ExitStack() as stack:
        for name in ("up", "blue", "dead"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(default_path(name)))
            if name != "dead":
                listening.listen()
        assert running() == ["blue", "up"]
