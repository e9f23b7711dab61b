"""What is news in the kernel's messages, as another library writes them."""

import socket
from collections.abc import Iterable
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import (
    NUD_DELAY,
    NUD_FAILED,
    NUD_INCOMPLETE,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
    ndmsg,
)
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from relay.dataplane.kernel import networkchanges
from relay.dataplane.kernel.networkchanges import Change, NetworkChanges

NEW_LINK, DELETE_LINK, NEW_ROUTE, DELETE_ROUTE, NEW, DELETE = 16, 17, 24, 25, 28, 29
PEER, MAC, OTHER_MAC = "192.0.2.7", "02:00:00:00:00:07", "02:00:00:00:00:08"
UP = 0x11043  # IFF_UP, _BROADCAST, _RUNNING, _MULTICAST, _LOWER_UP


def written(message: Any, kind: int, fields: dict[str, Any]) -> bytes:
    message.update(fields)
    message["header"]["type"] = kind
    message.encode()
    return bytes(message.data)


def neighbour(
    state: int,
    mac: str | None = MAC,
    *,
    kind: int = NEW,
    peer: str = PEER,
    index: int = 2,
    flags: int = 0,
) -> bytes:
    attributes = [("NDA_DST", peer)] + ([("NDA_LLADDR", mac)] if mac else [])
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    fields = {"family": family, "ifindex": index, "state": state, "flags": flags}
    return written(ndmsg(), kind, fields | {"attrs": attributes})


def link(
    *, flags: int = UP, mtu: int = 1500, mac: str = MAC, kind: int = NEW_LINK, family: int = 0
) -> bytes:
    attributes = [("IFLA_IFNAME", "eth0"), ("IFLA_MTU", mtu), ("IFLA_ADDRESS", mac)]
    fields = {"family": family, "index": 2, "flags": flags, "attrs": attributes}
    return written(ifinfmsg(), kind, fields)


def route(kind: int = NEW_ROUTE, family: int = socket.AF_INET, flags: int = 0) -> bytes:
    return written(rtmsg(), kind, {"family": family, "table": 254, "flags": flags})


def news(messages: Iterable[bytes]) -> list[list[Change]]:
    """What each message says that is new, after those before it."""
    changes = NetworkChanges()
    return [list(changes.read(message)) for message in messages]


NEWS, NONE = [Change.NEIGHBOURS], list[Change]()
REACHABLE, GONE = neighbour(NUD_REACHABLE), neighbour(NUD_FAILED, None)


def test_a_neighbour_who_is_heard_of_again_is_none() -> None:
    states = (NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_REACHABLE, NUD_PERMANENT)
    assert news(map(neighbour, states)) == [NEWS, NONE, NONE, NONE, NONE, NONE]


def test_one_with_another_mac_address_is() -> None:
    moved = neighbour(NUD_STALE, OTHER_MAC)
    assert news([REACHABLE, moved, moved, REACHABLE]) == [NEWS, NEWS, NONE, NEWS]


@pytest.mark.parametrize(
    "gone", [GONE, neighbour(NUD_INCOMPLETE, None), neighbour(NUD_REACHABLE, kind=DELETE)]
)
def test_one_who_goes_is_and_one_who_comes_is_not(gone: bytes) -> None:
    assert news([REACHABLE, gone, gone, REACHABLE]) == [NEWS, NEWS, NONE, NONE]


def test_neighbours_are_told_apart() -> None:
    others = [{"peer": "2001:db8::7"}, {"peer": "192.0.2.8"}, {"index": 3}]
    different = [neighbour(NUD_REACHABLE, **each) for each in others]  # type: ignore[arg-type]
    assert news([REACHABLE, *different, GONE, *different]) == [NEWS] * 5 + [NONE] * 3


def test_who_is_only_answered_for_is_none() -> None:
    assert news([neighbour(NUD_PERMANENT, flags=0x08)]) == [NONE]  # NTF_PROXY


def test_so_is_an_interface_that_comes_goes_or_sends_otherwise() -> None:
    down, small, other = link(flags=0x1002), link(mtu=1400), link(mac=OTHER_MAC)
    messages = [link(), down, link(), small, other, link(kind=DELETE_LINK)]
    assert news(messages) == [[Change.LINKS]] * len(messages)


def test_an_interface_of_which_something_else_is_said_is_not() -> None:
    promiscuous, bridge = link(flags=UP | 0x100), link(mtu=9000, family=socket.AF_BRIDGE)
    assert news([link(), link(), promiscuous, bridge]) == [[Change.LINKS], NONE, NONE, NONE]


def test_routes_are_and_copies_in_a_cache_are_not() -> None:
    messages = [route(), route(DELETE_ROUTE, socket.AF_INET6)]
    assert news(messages) == [[Change.ROUTES]] * 2
    assert news([route(flags=0x200), route(family=128)]) == [NONE, NONE]  # RTM_F_CLONED; multicast


@pytest.mark.parametrize(
    ("kinds", "change"),
    [
        ((20, 21), Change.ADDRESSES),
        ((32, 33, 104, 105), Change.ROUTES),
        ((80, 81), Change.SETTINGS),
    ],
)
def test_others_always_are(kinds: tuple[int, ...], change: Change) -> None:
    assert news(written(rtmsg(), kind, {}) for kind in kinds) == [[change]] * len(kinds)


def test_a_datagram_may_tell_of_several_and_of_what_is_no_concern() -> None:
    nothing = written(rtmsg(), 36, {})  # RTM_NEWQDISC
    assert news([nothing + REACHABLE + route() + REACHABLE]) == [[*NEWS, Change.ROUTES]]


def test_after_a_loss_all_is_news() -> None:
    changes = NetworkChanges()
    assert list(changes.read(REACHABLE + REACHABLE)) == NEWS
    changes.forget()
    assert list(changes.read(REACHABLE)) == NEWS


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networkchanges, "_REMEMBERED", 3)
    peers = [neighbour(NUD_REACHABLE, peer=f"192.0.2.{number}") for number in range(1, 5)]
    assert news([*peers[:3], *peers[:3]]) == [NEWS] * 3 + [NONE] * 3
    # The fourth takes the place of all: rather once too often than never.
    assert news([*peers, *peers[:3]]) == [NEWS] * 7
