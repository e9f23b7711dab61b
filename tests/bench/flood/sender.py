"""A flood out of the clients' host, as fast as a core can, or at a rate."""

import ctypes
import mmap
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests.bench.compare.testbed.bpfbuild import Build, built
from tests.bench.compare.testbed.testbed import SENDER_CORE, Testbed
from tests.bench.compare.traffic import layout, packets, sender
from tests.bench.compare.traffic.attach import attached
from tests.bench.compare.traffic.sendingprocess import SendingProcess
from tests.bench.compare.traffic.stream import BATCH
from tests.bench.flood.frames import FRAME_SIZE, Sent
from tests.bench.resource import Resource
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, RELAY

MOST_FRAMES = 128

_ANSWER_SECONDS = 30.0
_BUILD = Build(
    directory=str(Path(__file__).resolve().parent),
    sources=("flood.bpf.c",),
    xdp=("send_flood", "take_all"),
    maps=("frames", "floods", "progresses"),
)


class _Frame(ctypes.Structure):
    """struct frame of flood.bpf.c."""

    _fields_ = (
        ("bytes", ctypes.c_uint8 * FRAME_SIZE),
        ("sum", ctypes.c_uint32),
        ("strange", ctypes.c_uint32),
    )


class _Flood(ctypes.Structure):
    """struct flood of flood.bpf.c."""

    _fields_ = (
        ("interval", ctypes.c_uint64),
        ("duration", ctypes.c_uint64),
        ("frames", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class Flood(Resource):
    """A flood, which begins on entering and has ended on leaving.

    Args:
        testbed: Where.
        sent: What is sent, in turn.
        rate: Packets a second; None: as many as possible.
        seconds: How long.
    """

    def __init__(
        self, testbed: Testbed, sent: Sequence[Sent], rate: float | None, seconds: float
    ) -> None:
        self._testbed = testbed
        self._sent = sent[:MOST_FRAMES]
        self._rate = rate
        self._seconds = seconds

    def _open(self, stack: ExitStack) -> None:
        """Begin.

        Raises:
            LabError: The program cannot be built or attached, or does not send.
        """
        fds = _programs()
        host = self._testbed.hosts[CLIENT]
        interface = self._testbed.interface(CLIENT)
        ifindex = stack.enter_context(attached(host, interface, fds["take_all"]))
        self._progress = layout.Progress.from_buffer(
            mmap.mmap(fds["progresses"], ctypes.sizeof(layout.Progress))
        )
        self._write(fds)
        descriptors = [fds["send_flood"], fds["send_flood"], fds["progresses"]]
        self._process = stack.enter_context(SendingProcess(host, SENDER_CORE, descriptors))
        self._process.start(sender.Frames(FRAME_SIZE, ifindex, BATCH, self._seconds))
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self._progress.started:
            if time.monotonic() > deadline:
                raise LabError("The flood does not begin.")
            time.sleep(0.001)

    @property
    def sent(self) -> int:
        """How many packets were sent so far."""
        return int(self._progress.sent)

    def finish(self) -> float:
        """Wait for its end; gives the packets that were sent a second.

        Raises:
            LabError: The sender fails.
        """
        self._process.wait(time.monotonic() + 2 * self._seconds + _ANSWER_SECONDS)
        took = (self._progress.ended - self._progress.started) / 1e9
        return float(self._progress.sent / took) if took > 0 else 0.0

    def _write(self, fds: dict[str, int]) -> None:
        testbed = self._testbed
        public = testbed.interface(CLIENT)
        macs = testbed.mac(RELAY, public), testbed.mac(CLIENT, public)
        frames = (_Frame * MOST_FRAMES).from_buffer(
            mmap.mmap(fds["frames"], ctypes.sizeof(_Frame * MOST_FRAMES))
        )
        for frame, sent in zip(frames, self._sent, strict=False):
            whole = packets.frame(*macs, sent.packet).ljust(FRAME_SIZE, b"\0")
            frame.bytes[:] = whole
            frame.sum, frame.strange = sent.rest, sent.strange
        interval = 0 if self._rate is None else round(1e9 / self._rate)
        flood = _Flood(interval, round(self._seconds * 1e9), len(self._sent))
        mmap.mmap(fds["floods"], ctypes.sizeof(flood))[:] = bytes(flood)
        ctypes.memset(ctypes.addressof(self._progress), 0, ctypes.sizeof(self._progress))


@cache
def _programs() -> dict[str, int]:
    return built(_BUILD)
