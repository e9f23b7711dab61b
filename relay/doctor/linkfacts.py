"""Looks at this host's network interfaces: see `relay.doctor.links` for what is made of it."""

import fcntl
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from relay.dataplane.kernel import ethtool, ingressesabove, kinds, offloads, rtnetlink, xdpfeatures
from relay.dataplane.kernel.rtnetlink import Link
from relay.doctor.links import Interface

_SIOCGIFMTU = 0x8921  # linux/sockios.h
_IFREQ = struct.Struct("=16si20x")  # linux/if.h: a name and a number, of 40 bytes


def interfaces(
    wanted: Collection[str], hosts: Collection[str] = ()
) -> tuple[list[Interface], list[str]]:
    """The interfaces of those names; without any, those that could run the program.

    The latter are those that have an address, and are of a kind that the program can run on.

    Args:
        wanted: Their names.
        hosts: The relay's addresses, canonical text.

    Returns:
        The interfaces, and the names of those that are not there.

    Raises:
        OSError: The kernel does not list them.
    """
    found = {link.index: link for link in rtnetlink.links()}
    names = {index: name for index, name in socket.if_nameindex() if index in found}
    refused = {
        index: next(iter(kinds.unfit(list(found.values()), [index], names)), None)
        for index in names
    }
    assigned = rtnetlink.addresses()
    addressed = {each.index for each in assigned}
    native = _native()
    chosen = [
        index
        for index, name in names.items()
        if (name in wanted if wanted else index in addressed and refused[index] is None)
    ]
    above = ingressesabove.above(list(found.values()), assigned, chosen, hosts, names)
    looked = [
        replace(
            _interface(found[index], names, refused[index], list(found.values()), native),
            above=tuple(told for below, told in above if below == index),
        )
        for index in chosen
    ]
    return looked, [name for name in wanted if name not in names.values()]


def mtus(hosts: Collection[str]) -> dict[str, int]:
    """The MTUs of the interfaces that have those addresses, in bytes, by name."""
    names = dict(socket.if_nameindex())
    found = (names.get(each.index) for each in rtnetlink.addresses() if each.host in hosts)
    return {name: _mtu(name) for name in found if name is not None}


def _interface(
    link: Link,
    names: Mapping[int, str],
    refused: str | None,
    found: Sequence[Link],
    native: Mapping[int, bool],
) -> Interface:
    name = names[link.index]
    hidden = [
        *offloads.stripped(found, [link.index], offloads.strips_tags),
        *offloads.partial(
            found, [link.index], lambda each: offloads.completes_checksums(each, found)
        ),
    ]
    return Interface(
        name=name,
        driver=ethtool.driver(name) or link.kind,
        up=link.carrier,
        mtu=_mtu(name),
        native=native.get(link.index),
        attached=link.program.mode if link.program else None,
        refused=refused,
        queues=ethtool.receive_queues(name),
        merges=offloads.merges(link.index),
        hidden=tuple(hidden),
    )


def _native() -> Mapping[int, bool]:
    try:
        return xdpfeatures.redirecting()
    except OSError:  # a kernel that does not tell
        return {}


def _mtu(name: str) -> int:
    request = _IFREQ.pack(name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, request)
    return int(_IFREQ.unpack(answer)[1])
