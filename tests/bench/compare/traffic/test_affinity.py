"""Processes that are moved to one core for a while."""

import os
import subprocess
import sys

from tests.bench.compare.traffic.affinity import pinned


def test_processes_move_with_all_threads_and_come_back() -> None:
    code = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    command = ["taskset", "-c", "1", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            threads = [int(name) for name in os.listdir(f"/proc/{process.pid}/task")]  # noqa: PTH208
            assert len(threads) == 2
            with pinned((process.pid,), 0):
                assert [os.sched_getaffinity(thread) for thread in threads] == [{0}, {0}]
            assert [os.sched_getaffinity(thread) for thread in threads] == [{1}, {1}]
        finally:
            process.kill()


def test_a_process_that_has_ended_does_not_move() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with pinned((process.pid,), 0):
            pass
