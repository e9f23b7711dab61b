import os
import stat
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from relay.config.privatefiles import (
    Reader,
    locked,
    refused,
    require_private,
    shared,
    write_private,
)
from relay.errors import ConfigError
from relay.wire.errors import KeyFileError


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o666])
def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "secret"
    write_private(path, b"x")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"others can read file .*{mode:04o}.*chmod 600 {path}$"):
        require_private(path, "file")
    path.chmod(0o400)
    require_private(path, "file")


SERVICE = 61_234  # a user and a group that nobody has


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others, and becomes others")
@pytest.mark.parametrize(
    ("owner", "mode", "refused"),
    [
        ((0, SERVICE), 0o440, False),
        ((0, SERVICE), 0o640, False),
        ((0, SERVICE), 0o660, True),
        ((0, SERVICE), 0o444, True),
        ((SERVICE, SERVICE), 0o440, True),
        ((0, 0), 0o440, True),
    ],
)
def test_a_service_may_read_what_root_keeps_for_its_group(
    tmp_path: Path, owner: tuple[int, int], mode: int, refused: bool
) -> None:
    path = tmp_path / "secret"
    write_private(path, b"x")
    os.chown(path, *owner)
    path.chmod(mode)
    for each in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(each):
            each.chmod(0o755)
    try:
        os.setegid(SERVICE)
        os.seteuid(SERVICE)
        with pytest.raises(ConfigError, match="others can read") if refused else nullcontext():
            require_private(path, "file")
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_the_error_is_of_the_wanted_type(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read file .*No such file.*; make one"):
        require_private(tmp_path / "none", "file", error=KeyFileError, missing="make one")


def test_it_is_written_as_a_whole_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", b"one")
        write_private(tmp_path / "secret", b"two")
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o600)
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(tmp_path / "directory", b"x")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others")
def test_the_file_of_a_service_stays_its_own_when_root_changes_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"one")
    os.chown(path, 65534, 65533)
    write_private(path, b"two")
    now = path.stat()
    assert (path.read_bytes(), now.st_uid, now.st_gid) == (b"two", 65534, 65533)
    assert stat.S_IMODE(now.st_mode) == 0o600


def test_who_changes_it_at_the_same_time_waits(tmp_path: Path) -> None:
    path = tmp_path / "number"
    write_private(path, b"0")

    def count() -> None:
        with locked(tmp_path):
            write_private(path, str(int(path.read_text()) + 1).encode())

    threads = [threading.Thread(target=count) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "20"


def test_root_reads_what_it_keeps_for_a_service(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"x")
    path.chmod(0o640)

    def told(uid: int, gid: int, reader: Reader) -> str | None:
        found = os.stat_result((0o100640, 0, 0, 1, uid, gid, 1, 0, 0, 0))
        return shared(path, "file", found, reader)

    root, service = Reader(0, {0}), Reader(SERVICE, {SERVICE})
    assert told(0, SERVICE, root) is None
    assert told(0, SERVICE, service) is None
    assert "mode 0640" in (told(0, 0, root) or "")
    assert "mode 0640" in (told(0, SERVICE + 1, service) or "")
    assert "mode 0640" in (told(SERVICE, SERVICE, root) or "")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory; name a file in it"):
        require_private(tmp_path, "file")


@pytest.mark.parametrize(
    ("mode", "reader", "is_refused"),
    [
        (0o600, Reader(0, {0}), False),
        (0o600, Reader(SERVICE, {SERVICE}), True),
        (0o604, Reader(SERVICE, {SERVICE}), False),
        (0o604, Reader(SERVICE, {0, SERVICE}), True),  # what the group may, and not others
    ],
)
def test_who_could_read_a_file(mode: int, reader: Reader, is_refused: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "secret"
        path.touch()
        path.chmod(mode)
        path.parent.chmod(0o755)
        assert (refused(path, reader) is not None) is is_refused
        path.parent.chmod(0o700)
        assert (refused(path, reader) is not None) is (reader.uid != 0)
