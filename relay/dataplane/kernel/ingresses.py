"""What the program knows of the interfaces that packets come in through.

Their MAC addresses: a frame to another one is not for this host, though a switch may flood it here.
And their sides: the address of a transceiver in a packet from the clients' side is a lie.
"""

import socket
import sys
import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from relay.dataplane.kernel.ownaddresses import CURRENT, UPSTREAMS, OwnTable
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Instance
from relay.dataplane.kernel.rtnetlink import Address, Link, addresses, links, parts_of_bonds
from relay.wire.endpoint import Endpoint

NO_SIDES = (
    "Clients come in where transceivers do, so it cannot be told whether a packet with a "
    "transceiver's address is from one: let a router or firewall drop those from outside."
)

SIDE_CLIENTS, SIDE_TRANSCEIVERS = 1, 2  # enum side in bpf/relay.h
PROBES = 16  # INGRESS_PROBES
LOOPBACK = 1  # its number, in every network namespace
_NO_PORT = bytes(2)
# What one thread has found must not be written after what another one has found since.
_writing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Ingress:
    """An interface that runs the program.

    Attributes:
        index: Its number.
        mac: Its 6 bytes of MAC address.
        transceivers: Whether packets of transceivers may come in here.
        upstream: Whether it is known to, having an upstream address.
        redirects: Whether what goes back through it is redirected, and not sent by XDP_TX.
    """

    index: int
    mac: bytes
    transceivers: bool = True
    upstream: bool = False
    redirects: bool = False


def renew_ingresses(pins: Instance) -> list[Ingress]:
    """Let the program know the interfaces that run it as they are now, and give them.

    Any thread may, in the network namespace of the instance.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
        OSError: The kernel refuses.
    """
    with _writing:
        with closing(OwnTable(pins, UPSTREAMS)) as table:
            upstreams = [
                Endpoint.unpack(name + _NO_PORT).host
                for number, name in table.names().items()
                if table.field(number, "own") == CURRENT
            ]
        found = find_ingresses(pins.linked().values(), upstreams)
        write_ingresses(pins, found)
    return found


def find_ingresses(indexes: Collection[int], upstreams: Collection[str]) -> list[Ingress]:
    """The interfaces with these indexes in this network namespace.

    Args:
        indexes: Those that run the program.
        upstreams: The relay's internal addresses, canonical text.

    Raises:
        OSError: The kernel refuses.
    """
    return sides(links(), addresses(), indexes, upstreams)


def sides(
    found: Sequence[Link],
    assigned: Iterable[Address],
    indexes: Collection[int],
    upstreams: Collection[str],
) -> list[Ingress]:
    """Which interfaces lie on the transceivers' side.

    Those are the ones that have an upstream address, or carry a VLAN that has one. Where one of the
    addresses is elsewhere, such as on the loopback interface, nobody can tell: any may be.

    A bond runs the program on its parts, and packets come in through those: they are as it is.
    """
    below = {link.index: link.lower for link in found if link.vlan is not None}
    where = {
        each.host: below.get(each.index, each.index) for each in assigned if each.host in upstreams
    }
    inner = set(where.values())
    known = bool(inner) and len(where) == len(set(upstreams)) and inner <= set(indexes)
    wholes = {index: index for index in indexes}
    wholes |= {part: bond for part, bond in parts_of_bonds(found).items() if bond in indexes}
    return [
        Ingress(
            link.index,
            link.mac,
            not known or whole in inner,
            whole in inner,
            redirects=link.kind == "veth",
        )
        for link in found
        if (whole := wholes.get(link.index)) and len(link.mac) == 6  # that of Ethernet
    ]


def find_outside(
    named: Iterable[str], vips: Collection[str], upstreams: Collection[str]
) -> frozenset[int]:
    """The interfaces of clients alone, as far as sockets can tell.

    Args:
        named: The interfaces that the relay is told of; those that are not here do not count.
        vips: The public hosts, canonical text.
        upstreams: The relay's internal addresses.

    Raises:
        OSError: The kernel refuses.
    """
    numbers = {name: index for index, name in socket.if_nameindex()}
    return outside(
        addresses(), {numbers[name] for name in named if name in numbers}, vips, upstreams
    )


def outside(
    assigned: Collection[Address],
    named: Collection[int],
    vips: Collection[str],
    upstreams: Collection[str],
) -> frozenset[int]:
    """The interfaces that are named or have a VIP, and have no upstream address.

    Unlike the program below a VLAN, a socket sees the VLAN's own interface. Where an upstream
    address is on none but the loopback interface, transceivers may be anywhere: there is none.
    """
    inner = {each.host: each.index for each in assigned if each.host in upstreams}
    if len(inner) < len(set(upstreams)) or LOOPBACK in inner.values():
        return frozenset()
    public = {each.index for each in assigned if each.host in vips} | set(named)
    return frozenset(public - set(inner.values()) - {LOOPBACK})


def write_ingresses(pins: Instance, found: Iterable[Ingress]) -> None:
    """Let the program know these interfaces, and no others."""
    with pins.opened("ingresses") as table:
        size = table.info.max_entries
        rows = slots(found, size)
        for slot in range(size):
            value = bytes(table.value.size)
            if (known := rows.get(slot)) is not None:
                value = table.value.pack(
                    {
                        "ifindex": known.index,
                        "mac": known.mac,
                        "sides": SIDE_CLIENTS | (SIDE_TRANSCEIVERS if known.transceivers else 0),
                        "redirects": int(known.redirects),
                    }
                )
            table.update(table.key.number(slot), value)


def slots(found: Iterable[Ingress], size: int) -> dict[int, Ingress]:
    """Which of so many slots each interface gets, so that the program finds it.

    That is the one of its number, or the next free one. The program looks into PROBES of them; one
    whose slots are all taken is left out: of what is not known, nothing is checked.
    """
    rows: dict[int, Ingress] = {}
    for each in found:
        for slot in _slots_of(each.index, size):
            if slot not in rows:
                rows[slot] = each
                break
    return rows


def _slots_of(index: int, size: int) -> list[int]:
    """Where the program looks for an interface (`find_interface` of bpf/relay.bpf.c)."""
    return [(index + probe) % size for probe in range(PROBES)]


def slot_of(table: PinnedMap, index: int) -> int | None:
    """The slot in which the program knows an interface as one that runs it; None: it does not."""
    span = table.value.spans["ifindex"]
    for slot in _slots_of(index, table.info.max_entries):
        value = table.lookup(table.key.number(slot)) or b""
        if int.from_bytes(value[span], sys.byteorder) == index:
            return slot
    return None
