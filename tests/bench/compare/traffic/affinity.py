"""Processes pinned to one core, for as long as something is measured."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def pinned(pids: Sequence[int], core: int) -> Iterator[None]:
    """Let processes run on one processor, all threads of them, and afterwards where they were."""
    before: dict[int, set[int]] = {}
    try:
        for thread in _threads(pids):
            with suppress(ProcessLookupError):
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {core})
        yield
    finally:
        for thread, cores in before.items():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)


def _threads(pids: Sequence[int]) -> list[int]:
    return [int(entry.name) for pid in pids for entry in Path(f"/proc/{pid}/task").glob("*")]
