"""Which calls a transceiver had that died."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.errors import ConfigError
from transceiver import opencalls
from transceiver.opencalls import OpenCalls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl.open-1-1"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may have more bytes, so a write that comes to them is short, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_has_begun_and_not_ended_is_left(path: Path) -> None:
    calls = OpenCalls(path)
    assert calls.left == []
    for name in ("a", "b", "c"):
        calls.begin({"id": name, "principal": "ada"})
    calls.end("b")
    assert OpenCalls(path).left == [
        {"id": "a", "principal": "ada"},
        {"id": "c", "principal": "ada"},
    ]
    assert OpenCalls(path).left == [], "it is told of once"


def test_when_all_have_ended_there_is_no_file(path: Path) -> None:
    calls = OpenCalls(path)
    calls.begin({"id": "a"})
    calls.close()
    assert path.exists()
    calls.end("a")
    calls.close()
    assert not path.exists()


def test_a_torn_or_foreign_line_costs_itself(path: Path) -> None:
    lines = ['{"begin": {"id": "a"}}', "[]", '{"begin": 5}', "x", '{"begin": {"id": "b"']
    path.write_text("\n".join(lines))
    assert OpenCalls(path).left == [{"id": "a"}]


def test_it_does_not_grow_with_what_has_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencalls, "MAX_ENDED", 10)
    calls = OpenCalls(path)
    calls.begin({"id": "long"})
    for number in range(100):
        calls.begin({"id": str(number)})
        calls.end(str(number))
        assert len(path.read_text().splitlines()) < 25
    assert json.loads(path.read_text().splitlines()[0]) == {"begin": {"id": "long"}}
    assert OpenCalls(path).left == [{"id": "long"}]


def test_where_it_cannot_be_written_that_is_said(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="make its directory first"):
        OpenCalls(tmp_path / "missing" / "x")
    calls = OpenCalls(path)
    path.unlink()
    path.mkdir()
    calls.begin({"id": "a"})
    calls.begin({"id": "b"})
    assert caplog.text.count("open calls are not kept") == 1


def test_a_line_that_was_torn_costs_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = OpenCalls(path)
    for name in ("a", "b"):
        calls.begin({"id": name})
    with room_for(path.stat().st_size + 7):
        calls.begin({"id": "c"})
    assert not path.read_text().endswith("\n"), "the disk was full in the middle of a line"
    calls.end("a")
    calls.begin({"id": "d"})
    assert OpenCalls(path).left == [{"id": "b"}, {"id": "c"}, {"id": "d"}]
    assert caplog.text.count("open calls are not kept") == 1
    assert "No space left on device" in caplog.text


def test_a_call_whose_end_could_not_be_written_is_not_left(path: Path) -> None:
    calls = OpenCalls(path)
    for name in ("a", "b"):
        calls.begin({"id": name})
    with room_for(path.stat().st_size):
        calls.end("a")
    calls.begin({"id": "c"})
    calls.end("b")
    assert OpenCalls(path).left == [{"id": "c"}]


def test_a_full_disk_takes_no_half_of_a_new_file(path: Path) -> None:
    calls = OpenCalls(path)
    calls.begin({"id": "a"})
    with room_for(path.stat().st_size):
        calls.begin({"id": "b" * 100})
        calls.begin({"id": "c"})
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert OpenCalls(path).left == [{"id": "a"}]
