"""What processors have left, and what follows from it."""

import subprocess
import sys

import pytest

from tests.bench.compare.traffic.soak import Reading, Readings, Soak, busy_share


def readings(*taken: tuple[int, int]) -> list[Readings]:
    """One every 100 ns, with what of processors 0 and 1 was taken by then."""
    return [
        {core: Reading(100 * number, value) for core, value in enumerate(values)}
        for number, values in enumerate(taken)
    ]


def test_shares_of_processors_add_up() -> None:
    assert busy_share([readings((0, 0), (25, 50), (50, 100))]) == pytest.approx(0.75)


def test_a_disturbance_of_some_windows_does_not_count() -> None:
    quiet = readings((0, 0), (10, 0), (20, 0), (30, 0))
    disturbed = readings((0, 0), (90, 100), (100, 100))
    assert busy_share([quiet, disturbed]) == pytest.approx(0.1)


def test_a_processor_that_is_not_seen_is_busy() -> None:
    still = {0: Reading(100, 50)}
    assert busy_share([[still, still, still]]) == 1.0


@pytest.mark.netns
@pytest.mark.usefixtures("routed")
def test_a_processor_is_busy_when_somebody_works() -> None:
    with Soak((0,)) as soak:
        loop = ["taskset", "-c", "0", sys.executable, "-c", "while True: pass"]
        worker = subprocess.Popen(loop, start_new_session=True)
        try:
            for _ in range(50):
                if busy_share([soak.watch(0.2)]) > 0.9:
                    break
            else:
                pytest.fail("It is not seen to be busy.")
        finally:
            worker.kill()
            worker.wait()


def test_programs_that_watch_end_with_the_block() -> None:
    with Soak((0, 1)) as soak:
        processes = list(soak._processes)
        assert all(process.poll() is None for process in processes)
        before = soak.read()
        for _ in range(100):  # on a busy machine they may have to wait
            after = soak.watch(0.05)[-1]
            if all(after[core].until > before[core].until for core in (0, 1)):
                break
        else:
            pytest.fail("They see nothing.")
    assert all(process.poll() is not None for process in processes)
