import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from relay.config.watched import Watched, keep_watching
from relay.errors import ConfigError
from relay.supervision import Supervisor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    write(path, "1")
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)


def remove(path: Path) -> None:
    path.unlink()


def replace_unseen(path: Path, text: str) -> None:
    told, other = path.stat(), path.with_name("other")
    write(other, text)
    os.utime(other, ns=(told.st_atime_ns, told.st_mtime_ns))
    other.replace(path)


def watched(path: Path) -> Watched[int]:
    def load() -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"bad: {error}") from None

    return Watched([path], load, "the number")


async def test_a_file_is_read_again_when_it_changes_and_only_then(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    number = watched(file)
    await number.look()
    assert (number.content, caplog.messages) == (1, [])
    write(file, "22")
    await number.look()
    await number.look()
    assert (number.content, caplog.messages) == (22, ["read the number again, which had changed"])


async def test_one_that_is_replaced_with_the_same_time_and_size_has_changed(file: Path) -> None:
    number = watched(file)
    replace_unseen(file, "2")
    await number.look()
    assert number.content == 2


@pytest.mark.parametrize("broken", ["", None])
async def test_a_broken_one_changes_nothing_and_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    number = watched(file)
    if broken is None:
        remove(file)
    else:
        write(file, broken)
    for _ in range(3):
        await number.look()
    assert number.content == 1
    (message,) = caplog.messages
    assert message.startswith("bad: ")
    assert message.endswith(": what was there before stays in force")
    write(file, "3")
    await number.look()
    assert number.content == 3


async def test_what_could_not_be_read_for_a_while_is_read_when_it_can_be(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = watched(file)
    write(file, "2")
    with monkeypatch.context() as patched:  # as where no file is free
        patched.setattr(Path, "read_text", mock.Mock(side_effect=OSError(errno.EMFILE, "Too many")))
        await number.look()
    assert (number.content, str(number.trouble)[:4]) == (1, "bad:")
    await number.look()
    assert (number.content, number.trouble) == (2, None)


@pytest.mark.parametrize("broken", ["", None])
async def test_it_says_why_they_cannot_be_used_as_long_as_they_cannot(
    file: Path, broken: str | None
) -> None:
    number = watched(file)
    supervisor = Supervisor()
    keep_watching(supervisor, "the number", number)
    assert (number.trouble, supervisor.failing) == (None, [])
    if broken is None:
        remove(file)
    else:
        write(file, broken)
    for _ in range(2):  # also when it has not changed since
        await number.look()
        assert str(number.trouble).startswith("bad: ")
        assert supervisor.failing == ["the number"]
        assert supervisor.trouble("the number") == number.trouble
    write(file, "3")
    await number.look()
    assert (number.trouble, supervisor.failing) == (None, [])
    await supervisor.stop()


async def test_one_that_nobody_thought_of_is_no_trouble_that_passes_by_itself(file: Path) -> None:
    def load() -> int:
        return 1 // int(file.read_text())

    number = Watched([file], load, "the number")
    write(file, "00")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await number.look()
        assert number.trouble == "the number cannot be read: ZeroDivisionError"
    write(file, "1")
    await number.look()
    assert (number.trouble, number.content) == (None, 1)


def test_one_that_cannot_be_used_at_first_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bad"):
        watched(tmp_path / "none")
