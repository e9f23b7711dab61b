import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config.privatefiles import require_private, write_private
from relay.errors import ConfigError
from signaling.auth.apikeys import ApiKeys, new_key
from signaling.auth.privatefiles import (
    change_api_keys,
    load_api_keys,
    load_secrets,
)

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def add(path: Path, name: str) -> str:
    key, text = new_key(name, os.urandom(32), NOW)
    change_api_keys(path, lambda keys: keys.with_key(key))
    return text


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.toml"
    add(path, "alice")
    path.chmod(mode)
    for load in (load_api_keys, load_secrets):
        with pytest.raises(ConfigError, match=rf"others can read .* chmod 600 {path}"):
            load(path)
    path.chmod(0o600)
    assert len(load_api_keys(path)) == 1
    path.chmod(0o400)
    require_private(path, "file")


def test_a_file_that_is_not_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*; make one with `icelane keys api new`"):
        load_api_keys(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"No such file.*; write one with `openssl rand -hex 32`"):
        load_secrets(tmp_path / "none")


def test_a_changed_file_is_for_its_owner_alone_and_leaves_nothing_beside_it(
    tmp_path: Path,
) -> None:
    path, before = tmp_path / "keys.toml", os.umask(0)
    try:
        text = add(path, "alice")
        add(path, "bob")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["keys.toml"]
    keys = load_api_keys(path)
    assert [each.name for each in keys] == ["alice", "bob"]
    found = keys.find(text)
    assert found is not None
    assert found.name == "alice"


def test_who_changes_it_at_the_same_time_waits(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    threads = [threading.Thread(target=add, args=(path, f"k{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.name for each in load_api_keys(path)} == {f"k{number}" for number in range(20)}


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    add(path, "alice")
    before = path.read_bytes()

    def breaks(_: ApiKeys) -> ApiKeys:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        change_api_keys(path, breaks)
    assert path.read_bytes() == before
    path.write_text("[[key")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        add(path, "bob")
    assert path.read_text() == "[[key"


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(tmp_path / "directory", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["directory"]
    with pytest.raises(ConfigError, match=r"cannot write .*: No such file"):
        add(tmp_path / "missing" / "keys.toml", "alice")


def test_server_secrets_are_lines_of_32_characters_at_least(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"a" * 64 + b"\n" + b"b" * 32 + b"\n")
    assert load_secrets(path) == (b"a" * 64, b"b" * 32)
    for content in (b"", b"\n", b"a" * 31, b"a" * 32 + b"\nshort"):
        write_private(path, content)
        with pytest.raises(ConfigError, match="needs lines of at least 32 characters"):
            load_secrets(path)
