"""What clients say can be heard again."""

import base64
import wave
from pathlib import Path

import pytest

from tests.lab.clients import stimulus

SQUARE = (8000 / 32768) ** 2 / 2  # mean square of a tone of that amplitude


def test_the_packets_have_the_energy_of_the_tones(tmp_path: Path) -> None:
    made = stimulus.write(tmp_path)
    packets = [base64.b64decode(line) for line in made.packets.read_text().splitlines()]
    assert len(packets) == 200  # 4 s
    assert stimulus.energy(packets[50:100]) == pytest.approx(SQUARE, rel=0.2)
    assert stimulus.energy([]) == 0


def test_the_wave_file_is_as_its_users_expect(tmp_path: Path) -> None:
    with wave.open(str(stimulus.write(tmp_path).wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 48000)
        assert file.getnframes() == 4 * 48000
