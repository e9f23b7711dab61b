"""Offloads that hide from the program what a packet is; whoever loads it is told of them.

* Hardware that takes VLAN tags off hands tagged frames to the program as if they had none.
* A veth or tap whose other end leaves checksums to hardware that is not there: what a local socket
  sends has half a checksum, and the program's update makes nothing whole of it. The network stack
  would know; XDP is not told.
"""

import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from relay import linux
from relay.dataplane.kernel import ethtool, rtnetlink
from relay.dataplane.kernel.rtnetlink import Link

_GET_TX_CHECKSUM, _GET_FLAGS = 0x16, 0x25  # ETHTOOL_GTXCSUM, ETHTOOL_GFLAGS of linux/ethtool.h
_RX_VLAN, _LRO = 1 << 8, 1 << 15  # ETH_FLAG_RXVLAN, ETH_FLAG_LRO
_VALUE = struct.Struct("=II")  # struct ethtool_value
_GET_NSID = 90  # RTM_GETNSID of linux/rtnetlink.h
_NETNSA_NSID, _NETNSA_FD = 1, 3  # linux/net_namespace.h
_NEW_NSID = 88

ByIndex = Callable[[int], bool | None]


def hidden(indexes: Collection[int]) -> list[str]:
    """What an administrator should change about interfaces that run the program.

    Args:
        indexes: Their numbers in the calling thread's network namespace.

    Raises:
        OSError: The kernel does not list interfaces.
    """
    found = rtnetlink.links()
    return [
        *stripped(found, indexes, strips_tags),
        *partial(found, indexes, lambda link: completes_checksums(link, found)),
    ]


def stripped(found: Sequence[Link], indexes: Collection[int], strips: ByIndex) -> Iterator[str]:
    """Interfaces below VLANs that take tags off before the program."""
    for index in sorted({link.lower for link in found if link.vlan is not None} & set(indexes)):
        if strips(index):
            name = _name(index)
            yield (
                f"{name} takes VLAN tags off in hardware, so to the program packets of its VLANs "
                f"are untagged ones: ethtool -K {name} rxvlan off"
            )


def partial(
    found: Sequence[Link], indexes: Collection[int], completes: Callable[[Link], bool | None]
) -> Iterator[str]:
    """Interfaces whose other end may send what has half a checksum."""
    for link in found:
        if link.index not in indexes or link.kind not in ("veth", "tun"):
            continue
        completed = completes(link)
        if not completed:
            leaves = "leaves" if completed is False else "may leave"
            yield (
                f"{_name(link.index)} is a {link.kind} whose other end {leaves} checksums of local "
                "sockets' packets unfinished, which the program cannot finish: there, ethtool -K "
                "INTERFACE tx off"
            )


def strips_tags(index: int) -> bool | None:
    """Whether an interface takes VLAN tags off what it receives; None where it does not tell."""
    flags = _ask(_name(index), _GET_FLAGS)
    return None if flags is None else bool(flags & _RX_VLAN)


def merges(index: int) -> bool | None:
    """Whether an interface joins packets before anybody sees them; None where it does not tell."""
    flags = _ask(_name(index), _GET_FLAGS)
    return None if flags is None else bool(flags & _LRO)


def completes_checksums(link: Link, found: Sequence[Link]) -> bool | None:
    """Whether the other end of a link sends whole checksums only; None where nobody can tell."""
    if link.kind != "veth":
        return None
    if link.netns is None:
        here = any(each.index == link.lower for each in found)
        return _sends_whole(link.lower) if here else None
    for namespace in _namespaces():
        with suppress(OSError):
            if _number_of(namespace) == link.netns:
                with linux.restored_netns():
                    linux.enter_netns(namespace)
                    return _sends_whole(link.lower)
    return None


def _sends_whole(index: int) -> bool | None:
    with suppress(OSError):
        offloaded = _ask(_name(index), _GET_TX_CHECKSUM)
        return None if offloaded is None else not offloaded
    return None


def _namespaces() -> Iterator[Path]:
    """Files that name network namespaces: those that have names, and those of processes."""
    seen = set()
    for pattern in ("/run/netns/*", "/proc/[0-9]*/ns/net"):
        for path in Path("/").glob(pattern[1:]):
            with suppress(OSError):
                inode = path.stat().st_ino
                if inode not in seen:
                    seen.add(inode)
                    yield path


def _number_of(namespace: Path) -> int:
    """What the calling thread's network namespace calls another one; -1 for nothing."""
    fd = os.open(namespace, os.O_RDONLY)
    try:
        with rtnetlink.opened() as kernel:
            asked = rtnetlink.attribute(_NETNSA_FD, struct.pack("=I", fd))
            rtnetlink.send(kernel, _GET_NSID, 0, bytes(4) + asked)
            answer = kernel.recv(4096)
    finally:
        os.close(fd)
    if int.from_bytes(answer[4:6], "little") != _NEW_NSID:
        return -1
    told = rtnetlink.attributes(answer[20:])
    return int(struct.unpack("=i", told[_NETNSA_NSID])[0])


def _ask(name: str, command: int) -> int | None:
    """A number that ethtool(8) shows of an interface, too."""
    answer = ethtool.ask(name, _VALUE.pack(command, 0))
    return None if answer is None else int(_VALUE.unpack(answer)[1])


def _name(index: int) -> str:
    return socket.if_indextoname(index)
