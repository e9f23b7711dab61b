"""Which calls a transceiver had that died."""

import json
from pathlib import Path

import pytest

from relay.errors import ConfigError
from transceiver import opencalls
from transceiver.opencalls import OpenCalls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl.open-1-1"


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
