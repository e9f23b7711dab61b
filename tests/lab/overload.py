"""A way out that is slower than the way in, and packets that the kernel redirects to it."""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from relay.dataplane.kernel import bpfattr, bpfload, bpfsys
from relay.netns.host import Host

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_TAP = 0x0002 | 0x1000  # IFF_TAP, and no header of its own before each frame (IFF_NO_PI)
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES of linux/bpf.h
_AT_ONCE = 16  # frames, as a driver hands them to another one (DEV_MAP_BULK_SIZE)
_ROOM = 64  # frames
# To the group address that no bridge passes on, of an EtherType for experiments.
_FRAME = bytes.fromhex("0180c200000e") + bytes(6) + bytes.fromhex("88b5") + bytes(46)


class Tap:
    """An interface whose frames leave when a test takes them.

    Its driver has a ring for them, and says nothing when that is full.

    Args:
        name: The interface's, made in the network namespace of the calling thread.

    Attributes:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP))

    def take(self, frames: int) -> None:
        """Let so many leave. The driver sees room for more when they are half of its ring.

        Raises:
            BlockingIOError: There are fewer.
        """
        for _ in range(frames):
            os.read(self._fd, 2048)

    def close(self) -> None:
        """Let the interface go."""
        os.close(self._fd)


@contextmanager
def slow_way_out(host: Host, name: str) -> Iterator[Tap]:
    """A host's interface that has room for few frames."""
    with host.inside():
        tap = Tap(name)
    try:
        with host.netlink() as netlink:
            (index,) = netlink.link_lookup(ifname=name)
            netlink.link("set", index=index, state="up", txqlen=_ROOM)
        yield tap
    finally:
        tap.close()


class Redirecting:
    """Redirects frames from one interface to another one, until it is closed.

    The calling thread is in the network namespace of both.

    Args:
        came_in: The number of the interface that the frames are said to have come in through.
        way_out: That of the one that they are redirected to.
    """

    def __init__(self, came_in: int, way_out: int) -> None:
        code = struct.Struct("=BBhi")
        instructions = (
            code.pack(0xB7, 1, 0, way_out),  # r1 = the interface
            code.pack(0xB7, 2, 0, 0),  # r2 = no flags
            code.pack(0x85, 0, 0, 23),  # bpf_redirect
            code.pack(0x95, 0, 0, 0),  # return what it said
        )
        kinds = bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP
        self._program = bpfload.program_load(b"".join(instructions), *kinds, name="overload")
        self._frame = ctypes.create_string_buffer(_FRAME, len(_FRAME))
        self._context = bpfattr.XdpContext(data_end=len(_FRAME), ingress_ifindex=came_in)

    def send(self, frames: int) -> None:
        """Redirect so many, as fast as the kernel can; then they are taken or lost."""
        attributes = bpfattr.ProgramRun(
            prog_fd=self._program,
            data_size_in=len(_FRAME),
            data_in=ctypes.addressof(self._frame),
            repeat=frames,
            ctx_size_in=ctypes.sizeof(self._context),
            ctx_in=ctypes.addressof(self._context),
            flags=_LIVE_FRAMES,
            batch_size=min(frames, _AT_ONCE),
        )
        bpfsys.bpf(bpfsys.Command.PROG_TEST_RUN, attributes)

    def close(self) -> None:
        """Let the program go."""
        os.close(self._program)
