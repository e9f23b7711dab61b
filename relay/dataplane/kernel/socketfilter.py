"""What the kernel drops before a socket of the agent has it, as the XDP program drops it.

The agent reads neither where a datagram came in, nor to which MAC address, nor what its TTL was:
that would cost each of them more than the filter does. It is a BPF program
(BPF_PROG_TYPE_SOCKET_FILTER) that all sockets of a kind share: a socket takes it in 1 us, where one
of classic BPF, made anew for each, takes 10 to 20. It is written out here, because a relay in
userspace needs neither compiler nor object.

Of IPv6, Linux takes a datagram from outside whose source is an address of this host (IPv4 has that
for a martian). A flow of such a client would carry a call to whatever listens on this host.
"""

import os
import socket
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from struct import Struct
from typing import Protocol

from relay.dataplane.kernel import bpfload, bpfsys
from relay.dataplane.kernel.ingresses import LOOPBACK
from relay.dataplane.kernel.rtnetlink import addresses
from relay.wire.endpoint import V4_MAPPED, Endpoint

_SOCKET_FILTER = 1  # BPF_PROG_TYPE_SOCKET_FILTER of linux/bpf.h
_SO_ATTACH_BPF = 50  # asm-generic/socket.h

# What is counted, by its place in the map.
COUNTED = ("group_mac", "zero_length", "ttl_expired", "wrong_side", "own_source")

_INSTRUCTION = Struct("=BBhi")  # struct bpf_insn: code, registers, offset, immediate
_NETWORK_HEADER = -0x100000  # SKF_NET_OFF of linux/filter.h
# Of the TTL in an IPv4 header, of the hop limit in one of IPv6.
_TTL: dict[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 7}
# Of the source address in an IP header, by words of the packed form; a number is one of 4 bytes.
_SOURCE: dict[int, tuple[bytes | int, ...]] = {
    socket.AF_INET: (bytes(4), bytes(4), V4_MAPPED[8:], 12),
    socket.AF_INET6: (8, 12, 16, 20),
}
# Of two fields in struct __sk_buff.
_PKT_TYPE, _IFINDEX = 4, 40
_PACKET_BROADCAST, _PACKET_MULTICAST = 1, 2  # linux/if_packet.h
_UDP_LENGTH = 4  # in a UDP header
_LOOKUP = 1  # BPF_FUNC_map_lookup_elem
_DROP = 0x7FFF  # stands for the way of a jump that is not known yet


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
        own: The addresses of this host; by default, those that it has now.

    Raises:
        OSError: The kernel refuses: that needs root, or CAP_BPF.
    """

    def __init__(self, outside: Collection[int], own: Collection[str] | None = None) -> None:
        self._outside = sorted(outside)
        self._own = sorted({each.host for each in addresses()} if own is None else own)
        self._addresses = -1
        self._opened = ExitStack()
        self._programs: dict[tuple[int, bool], int] = {}
        self.counts = self._keep(
            bpfload.map_create(bpfsys.MapType.ARRAY, 4, 8, len(COUNTED), 0, "socket_drops")
        )

    def program(self, family: int, *, to_transceivers: bool) -> int:
        """See `Programs.program`."""
        key = family, to_transceivers
        if key not in self._programs:
            if to_transceivers:
                checks = from_outside(self._outside)
            else:
                checks = from_itself(_SOURCE[family], self._own_addresses())
            code = program(_TTL[family], checks, self.counts)
            self._programs[key] = self._keep(bpfload.program_load(code, _SOCKET_FILTER, 0))
        return self._programs[key]

    def close(self) -> None:
        """See `Programs.close`."""
        self._opened.close()

    def _own_addresses(self) -> int:
        """The map of this host's addresses."""
        if self._addresses < 0:
            room = max(1, len(self._own))
            self._addresses = self._keep(
                bpfload.map_create(bpfsys.MapType.HASH, 16, 1, room, 0, "own_addresses")
            )
            for host in self._own:
                bpfsys.map_update(self._addresses, Endpoint(host, 0).packed[:16], bytes(1))
        return self._addresses

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
        """Have the kernel drop what no host should take, and what lies about its sender.

        At upstream addresses that is what comes from where no transceiver is, and at VIPs what
        comes from elsewhere with an address of this host.

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


def from_outside(outside: Collection[int]) -> list[bytes]:
    """Checks, for `program`, that a datagram came in through none of these interfaces."""
    return [
        _do(0xB7, to=7, value=COUNTED.index("wrong_side")),
        _do(0x61, to=1, source=6, offset=_IFINDEX),
        *(_do(0x15, to=1, offset=_DROP, value=each) for each in outside),  # if r1 == each
    ]


def from_itself(source: Sequence[bytes | int], own: int) -> list[bytes]:
    """Checks, for `program`, that only this host itself sends from its addresses.

    Args:
        source: The source address, by words: as they are, or where in the IP header they stand.
        own: The map of the host's addresses.
    """
    key = [
        instruction
        for number, word in enumerate(source)
        for instruction in (
            _do(0xB4, value=int.from_bytes(word, "big", signed=True))  # r0 = the word
            if isinstance(word, bytes)
            else _do(0x20, value=_NETWORK_HEADER + word),  # which comes in this host's byte order
            _do(0xDC, value=32),  # r0 in network byte order
            _do(0x63, to=10, offset=4 * number - 16),  # on the stack
        )
    ]
    return [
        _do(0xB7, to=7, value=COUNTED.index("own_source")),
        _do(0x61, to=1, source=6, offset=_IFINDEX),
        _do(0x15, to=1, offset=len(key) + 6, value=LOOPBACK),  # then it may: goto behind this
        *key,
        _do(0xBF, to=2, source=10),
        _do(0x07, to=2, value=-16),
        *_do_map(to=1, table=own),
        _do(0x85, value=_LOOKUP),
        _do(0x55, offset=_DROP),  # if r0 != 0
    ]


def program(ttl: int, checks: Sequence[bytes], counts: int) -> bytes:
    """The program: 0 drops a datagram, and anything larger keeps as many of its bytes.

    Args:
        ttl: Where in the IP header the TTL is.
        checks: Further checks. In r6 they find the context, and in r7 they leave what is counted
            if they drop; a jump by `_DROP` does.
        counts: The map of counts.
    """
    passing = [
        _do(0xBF, to=6, source=1),  # r6 = context, as loads from the packet want it
        # What Linux takes in a frame to all or many is for none of them (RFC 1122, section 3.3.6).
        _do(0xB7, to=7, value=COUNTED.index("group_mac")),
        _do(0x61, to=1, source=6, offset=_PKT_TYPE),
        _do(0x15, to=1, offset=_DROP, value=_PACKET_BROADCAST),
        _do(0x15, to=1, offset=_DROP, value=_PACKET_MULTICAST),
        # And a length of 0 is for jumbograms alone (RFC 2675, section 4).
        _do(0xB7, to=7, value=COUNTED.index("zero_length")),
        _do(0x28, value=_UDP_LENGTH),  # r0 = 2 bytes of the datagram, which begins with its header
        _do(0x15, offset=_DROP),  # if r0 == 0
        _do(0xB7, to=7, value=COUNTED.index("ttl_expired")),
        _do(0x30, value=_NETWORK_HEADER + ttl),  # r0 = a byte of the IP header
        _do(0xB5, offset=_DROP, value=1),  # if r0 <= 1
        *checks,
        _do(0xB4, value=-1),  # r0 = all of it
        _do(0x95),
    ]
    dropping = [
        _do(0x63, to=10, source=7, offset=-4),  # on the stack: r7
        _do(0xBF, to=2, source=10),
        _do(0x07, to=2, value=-4),
        *_do_map(to=1, table=counts),
        _do(0x85, value=_LOOKUP),
        _do(0x15, offset=2),  # if r0 == 0, which it never is: goto end
        _do(0xB7, to=1, value=1),
        _do(0xDB, to=0, source=1),  # *r0 += 1, atomically
        _do(0xB7),
        _do(0x95),
    ]
    return b"".join(_aimed(passing) + dropping)


def _aimed(instructions: Sequence[bytes]) -> list[bytes]:
    """Let jumps by `_DROP` lead to the end of these."""
    found = []
    for number, each in enumerate(instructions):
        code, registers, offset, value = _INSTRUCTION.unpack(each)
        if offset == _DROP:
            offset = len(instructions) - number - 1
        found.append(_INSTRUCTION.pack(code, registers, offset, value))
    return found


def _do(code: int, *, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, to | source << 4, offset, value)


def _do_map(*, to: int, table: int) -> tuple[bytes, bytes]:
    """A register gets a map."""
    return _do(0x18, to=to, source=1, value=table), _do(0)
