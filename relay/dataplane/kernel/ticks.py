"""When a flow was last seen: the program counts the scheduler's ticks, people want seconds."""

import ctypes
import time
from pathlib import Path
from struct import Struct
from typing import Self

from relay.dataplane.kernel import bpfattr, bpfsys

COARSE = 6  # CLOCK_MONOTONIC_COARSE of linux/time.h, which advances with each tick
_SHIFT = 6  # SEEN_TICK_SHIFT of bpf/relay.h
_TICKS = Struct("=Q")
_FRAME = 14  # bytes; the kernel runs an XDP program on no less


def tick_seconds() -> float:
    """Seconds between two ticks of the kernel's scheduler."""
    return time.clock_getres(COARSE)


class Ticks:
    """Both clocks at one moment.

    Args:
        tick: Seconds between two ticks.
        ticks: How many there were.
        moment: The same moment, in seconds of the monotonic clock.

    Attributes:
        read_at: All three, of which another process makes the same.
    """

    def __init__(self, tick: float, ticks: int, moment: float) -> None:
        self.read_at = tick, ticks, moment
        self._unit = tick * 2**_SHIFT
        # The next tick may be due at this moment, and none of them before it is.
        self._zero = moment - (ticks + 1) * tick

    @classmethod
    def read(cls, program: Path) -> Self:
        """Ask the kernel, by its pinned program that tells the ticks."""
        frame = ctypes.create_string_buffer(_FRAME)
        run = bpfattr.ProgramRun(
            data_size_in=_FRAME,
            data_size_out=_FRAME,
            data_in=ctypes.addressof(frame),
            data_out=ctypes.addressof(frame),
            repeat=1,
        )
        with bpfsys.pinned(program) as run.prog_fd:
            bpfsys.bpf(bpfsys.Command.PROG_TEST_RUN, run)
        return cls(tick_seconds(), _TICKS.unpack_from(frame)[0], time.monotonic())

    def moment(self, seen: int) -> float:
        """When `seen` became this, in seconds of the monotonic clock; 0.0: never.

        It is at most a tick early, and never late.
        """
        return self._zero + seen * self._unit if seen else 0.0

    def at(self, moment: float) -> int:
        """What `seen` is set to at a moment; 0 for one before the clock began."""
        return max(0, int((moment - self._zero) // self._unit))
