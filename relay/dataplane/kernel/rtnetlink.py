"""The few messages of rtnetlink(7) that a relay needs.

They are written here: a library for all of them would be a third of an agent's memory.
"""

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from struct import Struct

_MESSAGE = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_ATTRIBUTE = Struct("=HH")  # struct rtattr: length, type
_LINK = Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ERROR = Struct("=i")

# linux/netlink.h
_REQUEST, _DUMP = 0x1, 0x300
_IS_ERROR, _IS_DONE = 2, 3
_NESTED = 0x8000  # NLA_F_NESTED, which the kernel sets on some attributes
BUFFER = 1 << 16  # bytes; the kernel puts less than half of that into one datagram

# linux/rtnetlink.h, linux/if_link.h
_NEW_LINK, _GET_LINK = 16, 18
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_IFLA_ADDRESS, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_XDP = 1, 5, 18, 43
_IFLA_MASTER, _IFLA_LINK_NETNSID = 10, 37
_IFA_ADDRESS, _IFA_LOCAL = 1, 2  # linux/if_addr.h
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_VLAN_ID, _IFLA_VLAN_PROTOCOL = 1, 5
_IFLA_XDP_ATTACHED, _IFLA_XDP_PROG_ID = 2, 4
_CARRIER = 1 | 1 << 16  # IFF_UP and IFF_LOWER_UP of linux/if.h
_ETH_P_8021Q = 0x8100  # linux/if_ether.h
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h
# XDP_ATTACHED_* of linux/if_link.h; in the driver and elsewhere at once is not for us.
_MODES = {1: "native", 2: "generic", 3: "offload", 4: "multiple"}


@dataclass(frozen=True, slots=True)
class AttachedProgram:
    """An XDP program that an interface runs, however it was attached.

    Attributes:
        id: The kernel's number of it; 0 where there are several.
        mode: ``native``, ``generic``, ``offload`` (in the network card) or ``multiple``.
    """

    id: int
    mode: str


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface.

    Attributes:
        index: Its number.
        lower: The number of the interface that it lies above; 0 for none.
        vlan: Its 802.1Q number, if it is such a VLAN.
        program: The XDP program that it runs.
        mac: Its link-layer address; empty for none.
        kind: What it is, such as ``veth`` or ``bond``; empty for hardware.
        master: The number of the bond or bridge that it is a part of; 0 for none.
        netns: This namespace's name, as a number, for the one that `lower` is in; None for here.
        carrier: Whether it is up, and so is the link that it is an end of.
        hardware: Its kind of link-layer header, ARPHRD_* of linux/if_arp.h.
    """

    index: int
    lower: int = 0
    vlan: int | None = None
    program: AttachedProgram | None = None
    mac: bytes = b""
    kind: str = ""
    master: int = 0
    netns: int | None = None
    carrier: bool = False
    hardware: int = ARPHRD_ETHER


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this host.

    Attributes:
        host: Canonical text.
        index: The number of the interface that has it.
    """

    host: str
    index: int


def addresses() -> list[Address]:
    """All IPv4 and IPv6 addresses of the calling thread's network namespace.

    Raises:
        OSError: The kernel refuses.
    """
    head = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    with opened() as kernel:
        found = [_address(each) for each in dump(kernel, _GET_ADDRESS, _NEW_ADDRESS, head)]
    return [each for each in found if each is not None]


def links() -> list[Link]:
    """All interfaces of the calling thread's network namespace.

    Raises:
        OSError: The kernel refuses.
    """
    head = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    with opened() as kernel:
        return [_link(payload) for payload in dump(kernel, _GET_LINK, _NEW_LINK, head)]


def attached_program(index: int) -> AttachedProgram | None:
    """The program that an interface runs; None when it runs none, or there is no interface.

    Raises:
        OSError: The kernel refuses.
    """
    return next((each.program for each in links() if each.index == index), None)


@contextmanager
def opened(protocol: int = socket.NETLINK_ROUTE) -> Iterator[socket.socket]:
    """A socket to the kernel's rtnetlink, or to another protocol of netlink(7)."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, protocol) as kernel:
        yield kernel


def dump(kernel: socket.socket, request: int, answer: int, head: bytes) -> Iterator[bytes]:
    """All objects of a kind: the payloads of the kernel's messages.

    Args:
        kernel: See `opened`.
        request: The type of the request, such as RTM_GETLINK.
        answer: The type of the messages that answer.
        head: The structure that follows the header of the request.

    Raises:
        OSError: The kernel refuses.
    """
    send(kernel, request, _DUMP, head)
    while True:
        for kind, payload in messages(kernel.recv(BUFFER)):
            if kind == _IS_DONE:
                return
            if kind == _IS_ERROR:
                (code,) = _ERROR.unpack_from(payload)
                raise OSError(-code, os.strerror(-code))
            if kind == answer:
                yield payload


def send(kernel: socket.socket, kind: int, flags: int, payload: bytes) -> None:
    """Send a message; its answer is not read."""
    size = _MESSAGE.size + len(payload)
    kernel.send(_MESSAGE.pack(size, kind, _REQUEST | flags, 0, 0) + payload)


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages in a datagram of the kernel: the type of each, and what follows its header."""
    return _records(datagram, _MESSAGE)


def parts_of_bonds(found: Iterable[Link]) -> dict[int, int]:
    """The interfaces that bonds are made of, and each one's bond, by their numbers."""
    found = list(found)
    bonds = {link.index for link in found if link.kind == "bond"}
    return {link.index: link.master for link in found if link.master in bonds}


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message, or those within an attribute, by their types."""
    return {kind & ~_NESTED: value for kind, value in _records(data, _ATTRIBUTE)}


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as it is sent; its value's length must be a multiple of 4."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _link(payload: bytes) -> Link:
    _, hardware, index, flags, _ = _LINK.unpack_from(payload)
    found = attributes(payload[_LINK.size :])
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    data = attributes(info.get(_IFLA_INFO_DATA, b""))
    kind = info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace")
    protocol = int.from_bytes(data.get(_IFLA_VLAN_PROTOCOL, b""), "big")
    tagged = kind == "vlan" and protocol == _ETH_P_8021Q
    return Link(
        index=index,
        lower=_number(found.get(_IFLA_LINK)),
        vlan=_number(data.get(_IFLA_VLAN_ID)) if tagged else None,
        program=_program(attributes(found.get(_IFLA_XDP, b""))),
        mac=found.get(_IFLA_ADDRESS, b""),
        kind=kind,
        master=_number(found.get(_IFLA_MASTER)),
        netns=_number(found[_IFLA_LINK_NETNSID]) if _IFLA_LINK_NETNSID in found else None,
        carrier=flags & _CARRIER == _CARRIER,
        hardware=hardware,
    )


def _address(payload: bytes) -> Address | None:
    family, _, _, _, index = _ADDRESS.unpack_from(payload)
    found = attributes(payload[_ADDRESS.size :])
    # Of a point-to-point interface, the other attribute is the far end's.
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    if packed is None or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return Address(socket.inet_ntop(family, packed), index)


def _program(xdp: dict[int, bytes]) -> AttachedProgram | None:
    mode = _MODES.get(_number(xdp.get(_IFLA_XDP_ATTACHED)))
    return AttachedProgram(_number(xdp.get(_IFLA_XDP_PROG_ID)), mode) if mode else None


def _number(value: bytes | None) -> int:
    """A number in the processor's byte order; 0 for none."""
    return int.from_bytes(value or b"", sys.byteorder)


def _records(data: bytes, head: Struct) -> Iterator[tuple[int, bytes]]:
    """Messages, or the attributes of one: each begins with its length and its type."""
    start = 0
    while start < len(data):
        size, kind = head.unpack_from(data, start)[:2]
        yield kind, data[start + head.size : start + size]
        start += (size + 3) // 4 * 4  # each starts at a multiple of 4 bytes
