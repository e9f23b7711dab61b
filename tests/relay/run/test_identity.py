"""Who a relay is."""

import re
import socket
from pathlib import Path

import pytest

from relay.run.identity import default_identity


def test_a_relay_is_the_same_after_a_restart_and_another_instance_is_another() -> None:
    assert default_identity("blue") == default_identity("blue")
    assert default_identity("blue") != default_identity("green")
    assert re.fullmatch(
        f"{re.escape(socket.gethostname())}/blue/[0-9a-f]{{8}}", default_identity("blue")
    )


@pytest.mark.parametrize("content", [None, b"\xff", b"0123\n"])
def test_a_machine_without_an_id_has_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "machine-id"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr("relay.run.identity._MACHINE_ID", path)
    names = set()
    for name in ("one", "two"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        names.add(default_identity("blue"))
    assert len(names) == 2
