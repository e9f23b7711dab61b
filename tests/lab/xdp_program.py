"""XDP programs without maps and helpers, and test runs of any."""

import ctypes
from dataclasses import dataclass

from relay.dataplane.kernel import bpfattr, bpfload, bpfsys


@dataclass(frozen=True, slots=True)
class Run:
    """What a program did with a packet in a test run; the duration is in nanoseconds."""

    verdict: int
    data: bytes
    duration: int


def load_xdp(instructions: bytes) -> int:
    """Load an XDP program that needs no maps and no helpers; a descriptor of it."""
    kinds = bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP
    return bpfload.program_load(instructions, *kinds, terms="Apache-2.0")


def run_xdp(program_fd: int, frame: bytes, ingress_ifindex: int = 0, times: int = 1) -> Run:
    """Run an XDP program on a frame of at least 14 bytes, in the caller's namespace.

    Args:
        program_fd: The program.
        frame: From the Ethernet header on.
        ingress_ifindex: Where the frame came in, an interface in XDP mode; 0 for loopback.
        times: How often, each time on the frame as it was given; the last run is told.
    """
    data = ctypes.create_string_buffer(frame, len(frame))
    out = ctypes.create_string_buffer(len(frame) + 256)  # a program may add to the front
    context = bpfattr.XdpContext(data_end=len(frame), ingress_ifindex=ingress_ifindex)
    attributes = bpfattr.ProgramRun(
        prog_fd=program_fd,
        data_size_in=len(frame),
        data_size_out=len(out),
        data_in=ctypes.addressof(data),
        data_out=ctypes.addressof(out),
        repeat=1,
        ctx_size_in=ctypes.sizeof(context),
        ctx_in=ctypes.addressof(context),
    )
    for _ in range(times):
        attributes.data_size_out = len(out)  # the kernel has written here what came out
        bpfsys.bpf(bpfsys.Command.PROG_TEST_RUN, attributes)
    return Run(attributes.retval, out.raw[: attributes.data_size_out], attributes.duration)
