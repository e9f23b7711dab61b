"""What processors have left, and what follows from it."""

import subprocess
import sys

import pytest

from relay.comparison.traffic.soak import Reading, Soak, busy_share, idle_rates


def readings(*rounds: tuple[int, int]) -> list[Reading]:
    """One each second, with what processors 0 and 1 had left."""
    return [Reading(float(at), dict(enumerate(counts))) for at, counts in enumerate(rounds)]


def test_idle_rates_are_those_in_the_middle() -> None:
    series = [readings((0, 0), (100, 200), (200, 400)), readings((0, 0), (40, 210), (140, 410))]
    assert idle_rates(series) == {0: 100, 1: 200}


def test_what_is_not_left_was_busy() -> None:
    series = [readings((0, 0), (75, 100), (150, 200))]
    assert busy_share(series, {0: 100, 1: 200}) == pytest.approx(0.75)


def test_a_disturbance_of_some_windows_does_not_count() -> None:
    quiet = readings((0, 0), (90, 100), (180, 200), (270, 300))
    disturbed = readings((0, 0), (10, 0), (100, 100))
    assert busy_share([quiet, disturbed], {0: 100, 1: 100}) == pytest.approx(0.1)


@pytest.mark.netns
@pytest.mark.usefixtures("routed")
def test_processors_have_less_left_when_somebody_works() -> None:
    with Soak((0,)) as soak:
        idle = idle_rates([soak.watch(0.2)])
        loop = ["taskset", "-c", "0", sys.executable, "-c", "while True: pass"]
        worker = subprocess.Popen(loop, start_new_session=True)
        try:
            series: list[list[Reading]] = []
            while not series or busy_share(series[-1:], idle) < 0.9:
                assert len(series) < 50
                series.append(soak.watch(0.1))
        finally:
            worker.kill()
            worker.wait()


def test_programs_that_count_end_with_the_block() -> None:
    with Soak((0, 1)) as soak:
        processes = list(soak._processes)
        assert all(process.poll() is None for process in processes)
        before = soak.read()
        for _ in range(100):  # on a busy machine they may have to wait
            after = soak.watch(0.05)[-1]
            if all(after.counts[core] > before.counts[core] for core in (0, 1)):
                break
        else:
            pytest.fail("They do not count.")
    assert all(process.poll() is not None for process in processes)
