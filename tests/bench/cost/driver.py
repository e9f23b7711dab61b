"""Programs run on packets of many flows, thousands of them in one test run of the kernel's.

A program of our own (driver.bpf.c) writes the next flow's packet and calls the measured program.
Between two packets there is no system call, whose time would be many times theirs.
"""

import ctypes
import mmap
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from relay.dataplane.kernel import bpfattr, bpfsys
from relay.errors import DataplaneError
from tests.bench.compare.testbed.bpfbuild import Build, built
from tests.bench.resource import Resource
from tests.lab.xdp_program import load_xdp

_HEAD_SIZE = 64  # as in driver.bpf.c
_FIRST = bytes(4)  # the key of the only entry
_NOTHING = bytes.fromhex("b700000004000000 9500000000000000")  # the instructions of `return 4`


class _Packets(ctypes.Structure):
    """`struct packets` of driver.bpf.c."""

    _fields_ = (
        ("head", ctypes.c_uint8 * _HEAD_SIZE),
        ("size", ctypes.c_uint32),
        ("flows", ctypes.c_uint32),
        ("turn", ctypes.c_uint32),
        ("mask", ctypes.c_uint32),
        ("half_bits", ctypes.c_uint32),
        ("address_at", ctypes.c_uint32),
        ("address", ctypes.c_uint32),
        ("flows_of_address", ctypes.c_uint32),
        ("port_at", ctypes.c_uint32),
        ("first_port", ctypes.c_uint32),
        ("ports", ctypes.c_uint32),
        ("checksum_at", ctypes.c_uint32),
        ("sum", ctypes.c_uint32),
        ("written", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Packets:
    """The packets of flows.

    Attributes:
        frame: That of flow 0, of 64 bytes or more.
        address_at: Where in it the last four bytes of the address are that flows differ by.
        flows_of_address: How many flows share an address, before the next higher one follows.
        port_at: Where the port is that they differ by.
        ports: How many ports there are, before the first one follows again.
        checksum_at: Where the IPv4 header has its checksum; 0 for IPv6.
        interface: The index of the interface that they come in by.
    """

    frame: bytes
    address_at: int
    flows_of_address: int
    port_at: int
    ports: int
    checksum_at: int
    interface: int


class Driver(Resource):
    """Runs programs, in the namespace of the calling thread.

    Raises:
        LabError: The driver cannot be built.
    """

    def _open(self, stack: ExitStack) -> None:
        build = Build(
            str(Path(__file__).parent),
            ("driver.bpf.c",),
            ("drive",),
            maps=("packets", "measured"),
        )
        fds = built(build)
        for fd in fds.values():
            stack.callback(os.close, fd)
        self.nothing = load_xdp(_NOTHING)
        stack.callback(os.close, self.nothing)
        self._drive, self._measured = fds["drive"], fds["measured"]
        memory = stack.enter_context(mmap.mmap(fds["packets"], ctypes.sizeof(_Packets)))
        self._memory = memory

    def prepare(self, packets: Packets, flows: int) -> None:
        """Make packets of the first flows from now on."""
        frame, address, port = packets.frame, packets.address_at, packets.port_at
        bits = max(1, (flows - 1).bit_length())
        made = _Packets(
            head=(ctypes.c_uint8 * _HEAD_SIZE)(*frame[:_HEAD_SIZE]),
            size=len(frame),
            flows=flows,
            mask=(1 << bits) - 1,
            half_bits=(bits + 1) // 2,
            address_at=address,
            address=int.from_bytes(frame[address : address + 4], "big"),
            flows_of_address=packets.flows_of_address,
            port_at=port,
            first_port=int.from_bytes(frame[port : port + 2], "big"),
            ports=packets.ports,
            checksum_at=packets.checksum_at,
            sum=_sum_of_the_rest(packets) if packets.checksum_at else 0,
        )
        self._memory[:] = bytes(made)
        self._frame = ctypes.create_string_buffer(frame, len(frame))
        self._out = ctypes.create_string_buffer(len(frame) + 256)  # one may add to the front
        self._context = bpfattr.XdpContext(data_end=len(frame), ingress_ifindex=packets.interface)

    def run(self, program: int, count: int) -> tuple[float, int]:
        """Run a program on the packets of so many turns.

        Returns:
            The mean time of a packet in nanoseconds, with that of making it; and the verdict on
            the last one.

        Raises:
            DataplaneError: The kernel does not let the driver call the program.
        """
        try:
            bpfsys.map_update(self._measured, _FIRST, program.to_bytes(4, sys.byteorder))
        except OSError as error:
            raise DataplaneError(
                f"The driver cannot call the program ({error.strerror}): load both alike."
            ) from None
        attributes = bpfattr.ProgramRun(
            prog_fd=self._drive,
            data_size_in=len(self._frame),
            data_size_out=len(self._out),
            data_in=ctypes.addressof(self._frame),
            data_out=ctypes.addressof(self._out),
            repeat=count,
            ctx_size_in=ctypes.sizeof(self._context),
            ctx_in=ctypes.addressof(self._context),
        )
        bpfsys.bpf(bpfsys.Command.PROG_TEST_RUN, attributes)
        return float(attributes.duration), attributes.retval


def _sum_of_the_rest(packets: Packets) -> int:
    """The sum of the words of an IPv4 header, without the address that changes and the checksum."""
    start = packets.checksum_at - 10
    left_out = {packets.checksum_at, packets.address_at, packets.address_at + 2}
    return sum(
        int.from_bytes(packets.frame[at : at + 2], "big")
        for at in range(start, start + 20, 2)
        if at not in left_out
    )
