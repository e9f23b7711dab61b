"""The process that sends: pinned to its core, in the sending host, with one command a line.

Programs and maps are inherited as file descriptors. What to send is in the maps, set by the
parent; a line of standard input says how: the fields of `Frames` or of `Bursts` as JSON. Each is
answered by a line of JSON, ``{}`` or ``{"error": TEXT}``.
"""

import ctypes
import json
import mmap
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.bench.compare.traffic import layout
from tests.bench.compare.traffic.testrun import Burst, run_frames

SETUP_SECONDS = 0.05  # live frames take 20 ms to set up
_PR_SET_TIMERSLACK = 29  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Frames:
    """Send live frames as the plan says.

    Attributes:
        size: Bytes of a frame.
        ifindex: The interface.
        batch: How many are handed on together.
        seconds: The plan's duration.
    """

    size: int
    ifindex: int
    batch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bursts:
    """Send bursts, and sleep between them.

    Attributes:
        size: Bytes of a frame.
        passes: How often the program runs in each burst; a pass sends the plan's `burst`.
        gap: Seconds from a burst's beginning to the next one's.
        count: How many bursts.
    """

    size: int
    passes: int
    gap: float
    count: int


def send_frames(what: Frames, program: int, progress: layout.Progress) -> None:
    """Send until the program says that the time is over."""
    deadline = time.monotonic() + 2 * what.seconds + 1.0
    while not progress.ended and time.monotonic() < deadline:
        seconds = what.seconds + SETUP_SECONDS
        run_frames(program, bytes(what.size), what.ifindex, what.batch, seconds)


def send_bursts(what: Bursts, program: int, progress: layout.Progress) -> None:
    """Send the bursts at their times; one that is late does not delay those that follow."""
    burst = Burst(program, bytes(what.size), what.passes)
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    progress.started = time.monotonic_ns()
    start = time.monotonic()
    for number in range(what.count):
        time.sleep(max(0.0, start + number * what.gap - time.monotonic()))
        burst.run()
    progress.ended = time.monotonic_ns()


def _serve(frames: int, bursts: int, progress: layout.Progress) -> None:
    for line in sys.stdin:
        given: dict[str, Any] = json.loads(line)
        answer: dict[str, str] = {}
        try:
            if "batch" in given:
                send_frames(Frames(**given), frames, progress)
            else:
                send_bursts(Bursts(**given), bursts, progress)
        except OSError as error:
            answer["error"] = f"The kernel does not send ({error.strerror})."
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends. Arguments: the programs' and the progress map's fds."""
    frames, bursts, progress = map(int, sys.argv[1:])
    shared = mmap.mmap(progress, ctypes.sizeof(layout.Progress))
    _serve(frames, bursts, layout.Progress.from_buffer(shared))


if __name__ == "__main__":
    main()
