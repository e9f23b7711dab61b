"""Records of calls that have ended: what is in them, and what becomes of a file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from relay.errors import ConfigError
from tests.transceiver.test_opencalls import room_for
from transceiver.records import RecordFile, brief_of, record_of, record_of_dead

STATS: dict[str, Any] = {
    "id": "rtc_abc",
    "principal": "ada",
    "region": "eu",
    "model": "agent",
    "client": None,
    "path": "192.0.2.1:20001",
    "age_seconds": 61.5,
    "reason": "hung up",
    "steps": {"answer": 0.003, "dtls": 0.05},
    "rtp": {"received": 3000, "lost": 2, "sent": 2900, "lost_by_client": 1},
    "audio": {
        "concealed_share": 0.0012,
        "jitter": 0.002,
        "round_trip": 0.031,
    },
    "backend": {"name": "agent", "responses": 4, "interruptions": 1},
}


def test_a_record_says_who_when_how_and_how_well() -> None:
    assert record_of(STATS, "rtc_1-5-9-abc", "1/5.9", 1_800_000_000.25) == {
        "id": "rtc_1-5-9-abc",
        "transceiver": "1/5.9",
        "principal": "ada",
        "region": "eu",
        "model": "agent",
        "client": "192.0.2.1:20001",
        "started": "2027-01-15T07:58:58.750+00:00",
        "ended": "2027-01-15T08:00:00.250+00:00",
        "seconds": 61.5,
        "reason": "hung up",
        "steps": {"answer": 0.003, "dtls": 0.05},
        "rtp": {"received": 3000, "lost": 2, "sent": 2900, "lost_by_client": 1},
        "concealed_share": 0.0012,
        "jitter_seconds": 0.002,
        "round_trip_seconds": 0.031,
        "turns": 4,
        "interruptions": 1,
        "backend": {"name": "agent", "responses": 4, "interruptions": 1},
    }


def test_a_record_of_a_call_whose_transceiver_died_has_the_same_fields() -> None:
    whole = record_of(STATS, "rtc_1-5-9-abc", "1/5.9", 1_800_000_000.25)
    brief = brief_of(STATS, "rtc_1-5-9-abc", "1/5.9", 1_800_000_000.25)
    dead = record_of_dead(brief)
    assert set(dead) == set(whole)
    assert dead["reason"] == "the transceiver died"
    assert brief.items() <= whole.items()


def test_a_call_without_sound_has_no_figures_of_it() -> None:
    record = record_of(STATS | {"audio": {}}, "rtc_1-5-9-abc", "1/5.9", 0.0)
    names = ("concealed_share", "jitter_seconds", "round_trip_seconds")
    assert [record[name] for name in names] == [None, None, None]


def test_each_record_is_a_line_of_a_file_that_may_be_moved_away(tmp_path: Path) -> None:
    path, old = tmp_path / "calls.jsonl", tmp_path / "calls.jsonl.1"
    records = RecordFile(path)
    assert path.stat().st_mode & 0o777 == 0o640
    records.add({"id": "a"})
    path.rename(old)
    records.add({"id": "b\n"})
    records.add({"id": "c"})
    assert [json.loads(line) for line in old.read_text().splitlines()] == [{"id": "a"}]
    assert [json.loads(each)["id"] for each in path.read_text().splitlines()] == ["b\n", "c"]
    assert records.lost == 0


def test_a_file_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write records to .*make its directory first"):
        RecordFile(tmp_path / "missing" / "calls.jsonl")


def test_what_cannot_be_written_is_lost_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.jsonl"
    records = RecordFile(path)
    path.unlink()
    path.mkdir()
    records.add({"id": "a"})
    records.add({"id": "b"})
    assert records.lost == 2
    assert len(caplog.records) == 1
    path.rmdir()
    records.add({"id": "c"})
    assert path.read_text() == '{"id":"c"}\n'
    assert records.lost == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this host has no /dev/full")
def test_a_full_disk_is_said(caplog: pytest.LogCaptureFixture) -> None:
    records = RecordFile(Path("/dev/full"))
    records.add({"id": "a"})
    assert records.lost == 1
    assert "records of calls are lost: /dev/full: No space left on device" in caplog.text


def ids(path: Path) -> list[str]:
    """Of the records in a file: each of its lines must be one."""
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_record_that_was_torn_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.jsonl"
    records = RecordFile(path)
    records.add({"id": "a"})
    with room_for(path.stat().st_size + 7):
        records.add({"id": "b"})
    records.add({"id": "c"})
    assert ids(path) == ["a", "c"]
    assert records.lost == 1
    assert caplog.text.count("the disk is full") == 1


def test_what_another_worker_adds_around_a_torn_record_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for a moment only, in which both write."""
    path = tmp_path / "calls.jsonl"
    mine, others = RecordFile(path), RecordFile(path)
    mine.add({"id": "a"})
    write = os.write

    def torn(file: int, line: bytes) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            others.add({"id": "before"})
            written = write(file, line[:7])
            others.add({"id": "behind"})
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        mine.add({"id": "b"})
    mine.add({"id": "c"})
    assert ids(path) == ["a", "before", "behind", "c"]
    assert (mine.lost, others.lost) == (1, 0)
