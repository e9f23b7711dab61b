"""What one access to memory takes: a program that reads one line for each packet (chase.bpf.c)."""

import mmap
import os
import random
from array import array
from collections.abc import Sequence
from pathlib import Path

from tests.bench.compare.testbed.bpfbuild import Build, built

_WORDS = 16  # of four bytes, of a line


def program(lines: int) -> int:
    """A descriptor of the program, which goes through so many lines before the first comes again.

    Raises:
        LabError: It cannot be built.
    """
    directory = str(Path(__file__).parent)
    defines = (f"LINES={lines}",)
    fds = built(Build(directory, ("chase.bpf.c",), ("chase",), maps=("lines",), defines=defines))
    order = list(range(lines))
    random.Random(lines).shuffle(order)  # it only mixes
    try:
        with (
            mmap.mmap(fds["lines"], lines * _WORDS * 4) as memory,
            memoryview(memory) as whole,
            whole.cast("I") as words,
            words[::_WORDS] as places,
        ):
            places[:] = memoryview(array("I", followers(order)))
    finally:
        os.close(fds["lines"])
    return fds["chase"]


def followers(order: Sequence[int]) -> list[int]:
    """What comes after each number in an order of all of them, which begins again at its end."""
    after = [0] * len(order)
    for number, following in zip(order, [*order[1:], *order[:1]], strict=True):
        after[number] = following
    return after
