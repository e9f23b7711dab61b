"""Sending by BPF_PROG_TEST_RUN: the kernel runs a program as often as one likes."""

import ctypes
import errno
import signal
from contextlib import suppress

from relay.dataplane.kernel import bpfattr, bpfsys
from relay.dataplane.kernel.bpfsys import Command
from tests.signals import handled

_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
_UNTIL_STOPPED = (1 << 31) - 1


def run_frames(program: int, frame: bytes, ifindex: int, batch: int, seconds: float) -> None:
    """Run an XDP program on live frames until the time is over.

    What it answers XDP_TX to goes out of the interface, which must run some XDP program itself.
    Frames come back to it with the contents that they had when they were dropped.

    Args:
        program: The program.
        frame: What frames hold at first.
        ifindex: The interface, in the calling thread's network namespace.
        batch: How many frames are handed on together.
        seconds: How long; of the main thread only, as it takes a signal to stop.

    Raises:
        OSError: The kernel refused.
    """
    data = ctypes.create_string_buffer(frame, len(frame))
    context = bpfattr.XdpContext(data_end=len(frame), ingress_ifindex=ifindex)
    attributes = bpfattr.ProgramRun(
        prog_fd=program,
        data_size_in=len(frame),
        data_in=ctypes.addressof(data),
        repeat=_UNTIL_STOPPED,
        ctx_size_in=ctypes.sizeof(context),
        ctx_in=ctypes.addressof(context),
        flags=_LIVE_FRAMES,
        batch_size=batch,
    )
    with handled(lambda *_: None, signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            with suppress(InterruptedError):
                bpfsys.bpf(Command.PROG_TEST_RUN, attributes)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Burst:
    """A classifier to be run on one packet, again and again.

    Args:
        program: The program.
        frame: What the packet holds at first.
        passes: How often it runs each time.
    """

    def __init__(self, program: int, frame: bytes, passes: int) -> None:
        self._frame = ctypes.create_string_buffer(frame, len(frame))
        self._attributes = bpfattr.ProgramRun(
            prog_fd=program,
            data_size_in=len(frame),
            data_in=ctypes.addressof(self._frame),
            repeat=passes,
        )

    def run(self) -> None:
        """Run it.

        Raises:
            OSError: The kernel refused.
        """
        try:
            bpfsys.bpf(Command.PROG_TEST_RUN, self._attributes)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # the packet is not wanted back
                raise
