"""Where an agent's admin socket is."""

import os
from pathlib import Path

import pytest

from relay.admin.place import default_path


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
