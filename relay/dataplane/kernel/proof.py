"""Proves that a driver takes what the program sends: by frames of our own, out of the interface.

A driver may run the program in native mode and still take no frame from it: that of a veth does
only while the other end polls, which it does when it runs a program itself, or for GRO. The kernel
tells nobody but its tracepoints, at which `relay.dataplane.kernel.losses` counts.
"""

import ctypes
import os
import struct
from collections.abc import Collection, Mapping
from contextlib import closing

from relay.dataplane.errors import AttachError
from relay.dataplane.kernel import bpfattr, bpfload, bpfsys, losses, rtnetlink
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.pins import Instance, Pins

# Time and again: a driver that is just being set up anew may refuse some. One by one: with several,
# the kernel's test run takes 20 ms, with one 0.1.
_FRAMES, _TIMES = 1, 64
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES of linux/bpf.h, Linux 5.18
# To the group address that no bridge passes on (IEEE 802.1Q, table 8-1), of the EtherType for
# experiments within one's own network (IEEE 802), padded: nobody takes it for anything.
_FRAME = bytes.fromhex("0180c200000e") + bytes(6) + bytes.fromhex("88b5") + bytes(46)
_REDIRECT = 23  # BPF_FUNC_redirect
_INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn


def require_delivery(pins: Pins) -> None:
    """Make sure that no interface takes nothing, of those that can be asked.

    Raises:
        AttachError: One does; the text says why and what to do.
        OSError: The kernel does not list interfaces.
    """
    if refusing := find_refusing(pins, askable(pins)):
        raise AttachError(refused(refusing))


def refused(names: Collection[str]) -> str:
    """What an administrator should know of interfaces that take nothing."""
    return (
        f"{' and '.join(names)} run{'s' * (len(names) == 1)} the program, and nothing that it "
        "sends there is taken. The other end "
        "of a veth must run an XDP program, too, or have GRO: there, ethtool -K INTERFACE gro on, "
        "then unload and load again."
    )


def askable(pins: Instance) -> dict[str, int]:
    """The interfaces that run the program natively and whose links are up, with their numbers.

    While a link is down, its driver may take nothing for that alone.

    Raises:
        OSError: The kernel does not list interfaces.
    """
    there = {link.index: link for link in rtnetlink.links()}
    found = {}
    for name, index in pins.linked().items():
        link = there.get(index)
        if link and link.carrier and link.program and link.program.mode == Mode.NATIVE:
            found[name] = index
    return found


def find_refusing(pins: Pins, asked: Mapping[str, int]) -> list[str]:
    """Those of some interfaces whose drivers take nothing that the program redirects to them.

    The calling thread is in the network namespace of the instance. Where losses are not counted,
    nobody can tell, and there are none.

    Args:
        pins: The instance.
        asked: The names and numbers of interfaces that run its program natively.
    """
    if not asked or not losses.counting(pins):
        return []
    with closing(losses.WaysOut(pins)) as ways:
        return [name for name, index in asked.items() if _refuses(ways, index)]


def _refuses(ways: losses.WaysOut, index: int) -> bool:
    """Whether a driver refuses each frame of ours, and takes nobody's meanwhile.

    One that has no room loses ours, too, and most of the others': it has not refused them.
    """
    program = _redirecting_to(index)
    try:
        first = before = ways.of(index)
        for _ in range(_TIMES):
            _send(program)
            after = ways.of(index)
            if first is None or before is None or after is None:  # it runs the program no more
                return False
            if after.taken > first.taken or after.refused == before.refused:
                return False
            before = after
    except OSError:  # an older kernel, or the interface is just going
        return False
    finally:
        os.close(program)
    return True


def _redirecting_to(index: int) -> int:
    instructions = (
        _INSTRUCTION.pack(0xB7, 1, 0, index),  # r1 = the interface
        _INSTRUCTION.pack(0xB7, 2, 0, 0),  # r2 = no flags
        _INSTRUCTION.pack(0x85, 0, 0, _REDIRECT),
        _INSTRUCTION.pack(0x95, 0, 0, 0),  # return what it said
    )
    kinds = bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP
    return bpfload.program_load(b"".join(instructions), *kinds, name="prove")


def _send(program: int) -> None:
    """Send a frame as if it had come in through the loopback interface: so it is nobody's loss."""
    frame = ctypes.create_string_buffer(_FRAME, len(_FRAME))
    context = bpfattr.XdpContext(data_end=len(_FRAME))
    run = bpfattr.ProgramRun(
        prog_fd=program,
        data_size_in=len(_FRAME),
        data_in=ctypes.addressof(frame),
        repeat=_FRAMES,
        ctx_size_in=ctypes.sizeof(context),
        ctx_in=ctypes.addressof(context),
        flags=_LIVE_FRAMES,
        batch_size=_FRAMES,
    )
    bpfsys.bpf(bpfsys.Command.PROG_TEST_RUN, run)
