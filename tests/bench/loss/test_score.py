import numpy as np
import pytest

from tests.bench.loss import material, score

SAID = material.speech(750)


def test_a_delay_and_its_change_are_found() -> None:
    late = np.concatenate((np.zeros(960, np.int16), SAID[:180_000], np.zeros(2_400, np.int16)))
    found = score.delays(SAID, np.concatenate((late, SAID[180_000:])))
    assert found.until(7.0) == pytest.approx(0.04, abs=0.001)
    assert float(found.delays[-1]) == pytest.approx(0.14, abs=0.001)
    assert found.return_after(2.0, 0.2) == 0
    assert found.return_after(2.0, 0.1) == pytest.approx(found.times[-1] - 2.0)


def test_silence_counts_only_where_something_was_said() -> None:
    found = score.delays(SAID, SAID)
    assert score.longest_silence(SAID, SAID, found) == 0
    loud = next(
        start
        for start in range(48_000, 200_000, 480)
        if np.abs(SAID[start - 960 : start + 2_400]).reshape(-1, 120).max(axis=1).min() > 1_500
    )
    holed = SAID.copy()
    holed[loud : loud + 1_440] = 0
    assert score.longest_silence(SAID, holed, found) == pytest.approx(0.06, abs=0.011)
    assert score.longest_silence(holed, holed, found) == 0
