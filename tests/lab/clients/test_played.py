"""What a driver writes is read as it was played."""

from pathlib import Path

import numpy as np
import pytest

from tests.lab.clients.played import CHUNK, chunk, read

RATE = 48_000


def stereo(value: int) -> bytes:
    return np.array([[value, -value]] * 480, "<i2").tobytes()


def test_chunks_come_evenly_however_late_they_are_told(tmp_path: Path) -> None:
    late = np.random.default_rng(1).uniform(0, 0.05, 400)
    late[::7] = 0
    record = tmp_path / "played"
    record.write_bytes(
        b"".join(
            chunk(100 + at * CHUNK + float(late[at]), RATE, 2, stereo(at)) for at in range(400)
        )
    )
    heard = read(record)
    assert heard.rate == RATE
    assert heard.times == pytest.approx(100 + CHUNK * np.arange(400))
    times, sound = heard.between(101.0 - 1e-6, 101.02 - 1e-6)
    assert list(times) == pytest.approx([101.0, 101.01])
    assert list(np.unique(sound)) == [100, 101], "the first channel"
    assert len(sound) == 960


def test_chunks_that_a_player_leaves_out_take_their_time(tmp_path: Path) -> None:
    record = tmp_path / "played"
    record.write_bytes(
        b"".join(
            chunk(100 + at * CHUNK + 0.3 * (at >= 200), RATE, 2, stereo(at)) for at in range(400)
        )
    )
    times = read(record).times
    assert times[199] == pytest.approx(101.99)
    assert times[200] == pytest.approx(102.3)


def test_what_is_being_written_is_left_out(tmp_path: Path) -> None:
    record = tmp_path / "played"
    record.write_bytes((chunk(1.0, RATE, 2, stereo(1)) * 2)[:-1])
    assert len(read(record).sounds) == 1
    record.write_bytes(b"")
    times, sound = read(record).between(0.0, 10.0)
    assert (len(times), len(sound)) == (0, 0)
