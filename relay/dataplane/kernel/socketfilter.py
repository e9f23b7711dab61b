"""What the kernel drops before a socket of the agent has it, as the XDP program drops it.

The agent reads neither where a datagram came in nor what its TTL was: that would cost each of them
more than the filter does. It is a BPF program (BPF_PROG_TYPE_SOCKET_FILTER) that all sockets of a
kind share: a socket takes it in 1 us, where one of classic BPF, made anew for each, takes 10 to 20.
It is written out here, because a relay in userspace needs neither compiler nor object.
"""

import os
import socket
import sys
from collections.abc import Collection
from contextlib import ExitStack
from struct import Struct
from typing import Protocol

from relay.dataplane.kernel import bpfload, bpfsys

_SOCKET_FILTER = 1  # BPF_PROG_TYPE_SOCKET_FILTER of linux/bpf.h
_SO_ATTACH_BPF = 50  # asm-generic/socket.h

# What is counted, by its place in the map.
COUNTED = ("ttl_expired", "wrong_side")

_INSTRUCTION = Struct("=BBhi")  # struct bpf_insn: code, registers, offset, immediate
_NETWORK_HEADER = -0x100000  # SKF_NET_OFF of linux/filter.h
# Of the TTL in an IPv4 header, of the hop limit in one of IPv6.
_TTL: dict[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 7}
_IFINDEX = 40  # of ifindex in struct __sk_buff
_LOOKUP = 1  # BPF_FUNC_map_lookup_elem


class Programs(Protocol):
    """Filters that are loaded, or will be.

    Attributes:
        counts: The descriptor of the map of what they count.
    """

    counts: int

    def program(self, family: int, *, to_transceivers: bool) -> int:
        """The descriptor of the filter for sockets of a kind, for as long as this is open.

        Raises:
            OSError: The kernel refuses.
        """

    def close(self) -> None:
        """Let go of them; the sockets that have them keep them."""


class FilterPrograms:
    """Programs for an agent's sockets, loaded when they are first wanted.

    Args:
        outside: The numbers of the interfaces that no transceiver lies behind.

    Raises:
        OSError: The kernel refuses: that needs root, or CAP_BPF.
    """

    def __init__(self, outside: Collection[int]) -> None:
        self._outside = sorted(outside)
        self._opened = ExitStack()
        self._programs: dict[tuple[int, bool], int] = {}
        self.counts = self._keep(
            bpfload.map_create(bpfsys.MapType.ARRAY, 4, 8, len(COUNTED), 0, "socket_drops")
        )

    def program(self, family: int, *, to_transceivers: bool) -> int:
        """See `Programs.program`."""
        key = family, to_transceivers
        if key not in self._programs:
            outside = self._outside if to_transceivers else []
            code = program(_TTL[family], outside, self.counts)
            self._programs[key] = self._keep(bpfload.program_load(code, _SOCKET_FILTER, 0))
        return self._programs[key]

    def close(self) -> None:
        """See `Programs.close`."""
        self._opened.close()

    def _keep(self, fd: int) -> int:
        self._opened.callback(os.close, fd)
        return fd


class SocketFilters:
    """Has the kernel filter what comes for an agent's sockets.

    Args:
        programs: The filters, which it closes.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def attach(self, udp: socket.socket, *, to_transceivers: bool) -> None:
        """Have the kernel drop what is spent, and at upstream addresses what lies about its sender.

        Args:
            udp: The socket.
            to_transceivers: Whether it is one at an upstream address, and none at a VIP.

        Raises:
            OSError: The kernel refuses.
        """
        wanted = self._programs.program(udp.family, to_transceivers=to_transceivers)
        udp.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, wanted)

    def dropped(self) -> dict[str, int]:
        """How many datagrams were dropped, by reason; what never was is not named."""
        found = {}
        for place, name in enumerate(COUNTED):
            value = bpfsys.map_lookup(self._programs.counts, place.to_bytes(4, sys.byteorder), 8)
            found[name] = int.from_bytes(value or b"", sys.byteorder)
        return {name: count for name, count in found.items() if count}

    def close(self) -> None:
        """See `Programs.close`."""
        self._programs.close()


def program(ttl: int, outside: Collection[int], counts: int) -> bytes:
    """The program: 0 drops a datagram, and anything larger keeps as many of its bytes.

    Args:
        ttl: Where in the IP header the TTL is.
        outside: The interfaces that a datagram may not have come in through.
        counts: The map of counts.
    """
    drop = 8 + len(outside)  # the number of the instruction where that begins
    checks = [
        _do(0xBF, to=6, source=1),  # r6 = context, as loads from the packet want it
        _do(0xB7, to=7, value=COUNTED.index("ttl_expired")),
        _do(0x30, value=_NETWORK_HEADER + ttl),  # r0 = a byte of the IP header
        _do(0xB5, offset=drop - 4, value=1),  # if r0 <= 1: goto drop
        _do(0xB7, to=7, value=COUNTED.index("wrong_side")),
        _do(0x61, to=1, source=6, offset=_IFINDEX),
        *(
            _do(0x15, to=1, offset=drop - 7 - place, value=each)  # if r1 == each: goto drop
            for place, each in enumerate(outside)
        ),
        _do(0xB4, value=-1),  # r0 = all of it
        _do(0x95),
    ]
    count = [
        _do(0x63, to=10, source=7, offset=-4),  # on the stack: r7
        _do(0xBF, to=2, source=10),
        _do(0x07, to=2, value=-4),
        _do(0x18, to=1, source=1, value=counts),  # r1 = the map
        _do(0),
        _do(0x85, value=_LOOKUP),
        _do(0x15, offset=2),  # if r0 == 0, which it never is: goto end
        _do(0xB7, to=1, value=1),
        _do(0xDB, to=0, source=1),  # *r0 += 1, atomically
        _do(0xB7),
        _do(0x95),
    ]
    return b"".join(checks + count)


def _do(code: int, *, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, to | source << 4, offset, value)
