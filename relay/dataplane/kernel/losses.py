"""What was forwarded and then lost: counted at two of the kernel's tracepoints.

The program has ended, and has counted a packet as forwarded, when the kernel carries its redirect
out. What fails then, only these tracepoints tell. They cost nothing while nothing fails but a look
at each batch of packets that leaves.

What was lost says nothing of a driver: an overloaded one loses most of what it is given, and one
that takes no frames of XDP all of it. So what each takes is counted then, too (`WaysOut`).
"""

import os
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from relay import linux
from relay.dataplane.kernel import bpfload, bpfsys
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.ingresses import slot_of
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Instance, Pins

# The programs, and the tracepoints that they run at.
TRACEPOINTS = {"count_failed": "xdp_redirect_err", "count_dropped": "xdp_devmap_xmit"}
COUNTED = ("redirect_failed", "transmit_dropped")  # fields of struct losses in bpf/relay.h
MAP = "losses"
WAYS_OUT = "ways_out"
_FROM_CLIENTS = "from_clients"  # its field of those of them that were on their way to transceivers
_KEPT = (*COUNTED, _FROM_CLIENTS)
_TO_TRANSCEIVER, _TO_CLIENT = "forwarded_to_transceiver", "forwarded_to_client"

_KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("=HBBIIIII")  # struct btf_header of linux/btf.h
_WORDS = struct.Struct("=III")  # struct btf_type, and struct btf_member
_STRUCT = 4  # BTF_KIND_STRUCT


class Places(NamedTuple):
    """Where in the kernel's structures something is, in bytes.

    Attributes:
        ifindex_at: An interface's number, in struct net_device.
        net_at: The pointer to its network namespace, in the same.
        inum_at: The number of a network namespace, in struct net.
    """

    ifindex_at: int
    net_at: int
    inum_at: int


class WayOut(NamedTuple):
    """What became of packets that were redirected to an interface: struct way_out in bpf/relay.h.

    Attributes:
        taken: Packets that its driver took, within some seconds after a loss on whatever way out:
            while nothing is lost they are not counted, which would cost each packet something.
        lost: Packets that it did not take, and that could not be redirected to it.
        refused: Of these, those that it refused with an error. A full ring is none, nor is a device
            that is down.
    """

    taken: int
    lost: int
    refused: int


class WaysOut:
    """What became of packets on their way out, by interface.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: There is no such map, or it may not be opened.
    """

    def __init__(self, pins: Instance) -> None:
        with ExitStack() as opened:
            self._ways = opened.enter_context(pins.opened(WAYS_OUT))
            self._ingresses = opened.enter_context(pins.opened("ingresses"))
            self._open = opened.pop_all()

    def of(self, index: int) -> WayOut | None:
        """What was counted of an interface; None where the program does not know it.

        The numbers only grow, while it is the same interface.
        """
        slot = slot_of(self._ingresses, index)
        if slot is None:
            return None
        value = self._ways.lookup(self._ways.key.number(slot)) or b""
        by_cpu, spans = self._ways.by_cpu(value), self._ways.value.spans
        return WayOut(
            *(
                sum(int.from_bytes(part[spans[name]], sys.byteorder) for part in by_cpu)
                for name in WayOut._fields
            )
        )

    def close(self) -> None:
        """Close the maps."""
        self._open.close()


def start(pins: Pins, wanted: BpfObject, maps: Mapping[str, int]) -> None:
    """Count from now on, also when this process has ended; what was counted stays.

    A program that does the same already stays in its place: the kernel lets go of a link some time
    after its last descriptor, and two programs would meanwhile count a packet twice.

    Args:
        pins: The instance.
        wanted: The object that has the programs.
        maps: The descriptors of the object's maps.

    Raises:
        OSError: The kernel refuses, or does not tell its types.
    """
    places = find_places(_KERNEL_TYPES.read_bytes())
    with pins.opened(MAP) as table:
        _write(table, {"netns": linux.netns_inode(), **places._asdict()})
    for name, tracepoint in TRACEPOINTS.items():
        spec = wanted.programs[name]
        with ExitStack() as opened:
            program = bpfload.program_load(spec.linked(maps), spec.type, 0, name=name)
            opened.callback(os.close, program)
            if _is_like(pins.tracepoint(tracepoint), program):
                continue
            link = bpfsys.link_create_tracepoint(program, tracepoint)
            opened.callback(os.close, link)
            pins.replace(pins.tracepoint(tracepoint), link)


def _is_like(link: Path, program: int) -> bool:
    """Whether the program of a pinned link is like another one, and has the same maps."""
    if not link.exists():
        return False
    with bpfsys.pinned(link) as fd:
        running = bpfsys.program_by_id(bpfsys.link_info(fd).program_id)
    try:
        tags = {bpfsys.program_info(each).tag for each in (running, program)}
        return len(tags) == 1 and bpfsys.program_maps(running) == bpfsys.program_maps(program)
    finally:
        os.close(running)


def counting(pins: Pins) -> bool:
    """Whether what is lost of an instance is counted."""
    maps = (pins.map(name) for name in (MAP, WAYS_OUT))
    tracepoints = map(pins.tracepoint, TRACEPOINTS.values())
    return all(path.exists() for path in (*maps, *tracepoints))


def read(table: PinnedMap) -> dict[str, int]:
    """What was counted."""
    kept = snapshot(table)
    return {name: kept[name] for name in COUNTED}


def delivered(table: PinnedMap, forwarded: Callable[[], dict[str, int]]) -> dict[str, int]:
    """What a program has forwarded and was not lost, in packets by reason.

    Where clients and transceivers come in by one interface, nobody knows which way a lost packet
    went: it is taken from those to clients, while there are any.

    Args:
        table: The map of losses.
        forwarded: Gives the program's counters, which are read second: a packet that was lost is
            among them.
    """
    kept = snapshot(table)
    lost = {_TO_TRANSCEIVER: kept[_FROM_CLIENTS]}
    lost[_TO_CLIENT] = sum(kept[name] for name in COUNTED) - lost[_TO_TRANSCEIVER]
    counted = dict(forwarded())
    for name, other in ((_TO_TRANSCEIVER, _TO_CLIENT), (_TO_CLIENT, _TO_TRANSCEIVER)):
        here = min(lost[name], counted[name])
        counted[name] -= here
        counted[other] -= min(lost[name] - here, counted[other])
    return counted


def snapshot(table: PinnedMap) -> dict[str, int]:
    """All that was counted."""
    row, spans = table.lookup(table.key.number(0)) or bytes(table.value.size), table.value.spans
    return {name: int.from_bytes(row[spans[name]], sys.byteorder) for name in _KEPT}


def _write(table: PinnedMap, fields: Mapping[str, int]) -> None:
    """Change some fields; a packet that is lost in this very moment may go uncounted."""
    key = table.key.number(0)
    row, packed = bytearray(table.lookup(key) or b""), table.value.pack(fields)
    for name in fields:
        row[table.value.spans[name]] = packed[table.value.spans[name]]
    table.update(key, bytes(row))


def find_places(types: bytes) -> Places:
    """Find the places in the kernel's type information (BTF).

    Raises:
        OSError: They are not in there.
    """
    header = _HEADER.unpack_from(types)
    _, _, _, size, type_start, type_size, text_start, text_size = header
    table = types[size + type_start :][:type_size]
    text = types[size + text_start :][:text_size]

    def offset(structure: str, member: str) -> int:
        found = _offset(table, _word(text, structure), _word(text, member))
        if found is None:
            raise OSError(0, f"struct {structure} has no {member} in the kernel's type information")
        return found

    return Places(
        offset("net_device", "ifindex"),
        offset("net_device", "nd_net"),
        offset("net", "ns") + offset("ns_common", "inum"),
    )


def _word(text: bytes, word: str) -> int:
    """The offset of a word in a table of words, each of which is in there once; 0 for none."""
    return text.find(b"\0" + word.encode() + b"\0") + 1


def _offset(table: bytes, structure: int, member: int) -> int | None:
    """Where a member is in a structure, both by their names' offsets.

    It searches the bytes: walking through all of a kernel's types would take a second.
    """
    name, at = structure.to_bytes(4, "little"), -1
    while structure and (at := table.find(name, at + 1)) >= 0:
        if at % 4 or at + _WORDS.size > len(table):
            continue
        info = _WORDS.unpack_from(table, at)[1]
        if info >> 24 & 0x1F != _STRUCT:
            continue
        end = min(at + _WORDS.size * (1 + (info & 0xFFFF)), len(table) - _WORDS.size + 1)
        for place in range(at + _WORDS.size, end, _WORDS.size):
            found, _, bits = _WORDS.unpack_from(table, place)
            if found == member:
                # With the flag, the upper byte is the width of a field of bits.
                return int(bits & 0xFFFFFF if info >> 31 else bits) // 8
    return None
