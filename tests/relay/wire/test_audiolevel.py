"""Levels by definition (RFC 6465, appendix A), and by known signals."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.audiolevel import SILENCE, audio_level

SAMPLES = st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("samples", "level"),
    [
        ([], SILENCE),
        ([0] * 960, SILENCE),
        ([1], -90),
        ([0] * 9_999 + [1], SILENCE),  # less than the least that can be told
        ([32767, -32767], 0),
        ([-32768] * 3, 0),
        ([3277] * 7, -20),
        ([32767, 0] * 480, -3),
        ([round(32767 * math.sin(i / 10)) for i in range(6283)], -3),
    ],
)
def test_levels_of_known_signals(samples: list[int], level: int) -> None:
    pcm = array("h", samples).tobytes()
    assert audio_level(memoryview(pcm), len(samples)) == level
    assert audio_level(memoryview(pcm + b"\x7f\xff" * 9), len(samples)) == level


@given(SAMPLES)
def test_levels_are_those_of_the_definition(samples: list[int]) -> None:
    power = sum(sample * sample for sample in samples) / len(samples) / 32767**2
    expected = 10 * math.log10(power) if power else SILENCE
    level = audio_level(memoryview(array("h", samples).tobytes()), len(samples))
    assert abs(level - max(SILENCE, min(0, expected))) <= 0.5001
