"""What a message of rtnetlink(7) says about how packets leave this host, and whether it is news.

The kernel tells of much that changes nothing here: that a neighbour was heard of again, that an
interface has a program. Whoever acts on each message would have nothing else to do.
"""

import socket
from collections.abc import Hashable, Iterator
from enum import StrEnum
from struct import Struct

from relay.dataplane.kernel.rtnetlink import attributes, messages

_NEIGHBOUR = Struct("=B3xiHBB")  # struct ndmsg: family, interface, state, flags, type
_LINK = Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ROUTE = Struct("=BBBBBBBBI")  # struct rtmsg: family first, flags last

# linux/rtnetlink.h
_NEW_LINK, _DEL_LINK = 16, 17
_NEW_ADDRESS, _DEL_ADDRESS = 20, 21
_NEW_ROUTE, _DEL_ROUTE = 24, 25
_NEW_NEIGHBOUR, _DEL_NEIGHBOUR = 28, 29
_NEW_RULE, _DEL_RULE = 32, 33
_NEW_SETTING, _DEL_SETTING = 80, 81  # RTM_NEWNETCONF
_NEW_NEXT_HOP, _DEL_NEXT_HOP = 104, 105
_CLONED = 0x200  # RTM_F_CLONED: a copy in a cache

# linux/neighbour.h
_DESTINATION, _LINK_ADDRESS = 1, 2  # NDA_DST, NDA_LLADDR
_VALID = 0xDE  # NUD_PERMANENT, _NOARP, _REACHABLE, _PROBE, _STALE, _DELAY: the FIB uses it
_PROXY = 0x08  # NTF_PROXY: this host answers for somebody

# linux/if_link.h, linux/if.h
_IFLA_ADDRESS, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 4, 5, 10
_UP = 0x1 | 0x40 | 0x10000  # IFF_UP, _RUNNING, _LOWER_UP

_INTERNET = (socket.AF_INET, socket.AF_INET6)  # bridges and multicast routers use others
_REMEMBERED = 4096  # neighbours and interfaces, about 1 MB; when there are more, all are forgotten


class Change(StrEnum):
    """What has changed."""

    ROUTES = "routes"  # routes, rules, objects of next hops
    NEIGHBOURS = "neighbours"  # the MAC address of one, or whether he is there
    LINKS = "links"  # an interface: whether it is up, its MAC address, its MTU
    ADDRESSES = "addresses"  # those of this host
    SETTINGS = "settings"  # /proc/sys/net/ipv4/conf and ipv6/conf, forwarding among them


_KINDS = {
    _NEW_ADDRESS: Change.ADDRESSES,
    _DEL_ADDRESS: Change.ADDRESSES,
    _NEW_RULE: Change.ROUTES,
    _DEL_RULE: Change.ROUTES,
    _NEW_NEXT_HOP: Change.ROUTES,
    _DEL_NEXT_HOP: Change.ROUTES,
    _NEW_SETTING: Change.SETTINGS,
    _DEL_SETTING: Change.SETTINGS,
}
_GONE = b""  # what is remembered of who cannot be sent to


class NetworkChanges:
    """Tells news from repetitions; it remembers what was said of neighbours and interfaces.

    What it has not heard of before is news, so that it need not know how things were when it began.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Hashable] = {}

    def read(self, datagram: bytes) -> Iterator[Change]:
        """The changes that a datagram of the kernel tells of, one for each message with news."""
        for kind, payload in messages(datagram):
            change = self._change(kind, payload)
            if change is not None:
                yield change

    def forget(self) -> None:
        """Take whatever comes for news: messages were lost."""
        self._known.clear()

    def _change(self, kind: int, payload: bytes) -> Change | None:
        if kind in (_NEW_NEIGHBOUR, _DEL_NEIGHBOUR):
            return self._neighbour(kind, payload)
        if kind in (_NEW_LINK, _DEL_LINK):
            return self._link(kind, payload)
        if kind in (_NEW_ROUTE, _DEL_ROUTE):
            family, *_, flags = _ROUTE.unpack_from(payload)
            return Change.ROUTES if family in _INTERNET and not flags & _CLONED else None
        return _KINDS.get(kind)

    def _neighbour(self, kind: int, payload: bytes) -> Change | None:
        family, index, state, flags, _ = _NEIGHBOUR.unpack_from(payload)
        if family not in _INTERNET or flags & _PROXY:
            return None
        found = attributes(payload[_NEIGHBOUR.size :])
        usable = kind == _NEW_NEIGHBOUR and state & _VALID
        mac = found.get(_LINK_ADDRESS, bytes(1)) if usable else _GONE
        # Nobody is sent to by way of one who was not there.
        news = self._is_news((index, found.get(_DESTINATION)), mac, but_after=_GONE)
        return Change.NEIGHBOURS if news else None

    def _link(self, kind: int, payload: bytes) -> Change | None:
        family, _, index, flags, _ = _LINK.unpack_from(payload)
        if family != socket.AF_UNSPEC:
            return None  # a bridge's or IPv6's view of it
        found = attributes(payload[_LINK.size :])
        parts = (_IFLA_ADDRESS, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER)
        seen = (kind, flags & _UP, *map(found.get, parts))
        return Change.LINKS if self._is_news(index, seen) else None

    def _is_news(self, key: Hashable, seen: Hashable, but_after: Hashable = None) -> bool:
        before = self._known.get(key)
        if before == seen:
            return False
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = seen
        return before is None or before != but_after
