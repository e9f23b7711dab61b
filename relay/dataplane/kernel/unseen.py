"""What this host does to packets of its sockets and not to those that the program forwards.

The agent's own packets go through all of it. The program sends from below the network stack, by
what the FIB answers for a packet without mark, of user 0.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import TypeVar

from relay.dataplane.kernel import rtnetlink

# linux/netlink.h
_NETLINK_XFRM, _NETLINK_NETFILTER = 6, 12

# linux/fib_rules.h
_RULE = Struct("=BBBBBxxBI")  # struct fib_rule_hdr: family, lengths, TOS, table, action, flags
_NEW_RULE, _GET_RULE = 32, 34
_INVERTED = 0x2  # FIB_RULE_INVERT
_PRIORITY, _MARK, _USERS = 6, 10, 20  # FRA_*
_UID_RANGE = Struct("=II")

# linux/xfrm.h
_NEW_POLICY, _GET_POLICY = 0x13, 0x15
_POLICY_ID_SIZE = 64  # struct xfrm_userpolicy_id
# struct xfrm_userpolicy_info: a selector of 56 bytes, limits and use in 96, priority, index.
_SELECTOR = Struct("=16s16s8xHBB12x")
_DIRECTION = _SELECTOR.size + 96 + 8
_DIRECTIONS = ("in", "out")  # XFRM_POLICY_*; what is forwarded is not the relay's

# linux/netfilter/nfnetlink.h, nf_tables.h
_NEW_CHAIN, _GET_CHAIN = 10 << 8 | 3, 10 << 8 | 4
_TABLE, _NAME, _HOOK, _POLICY, _USE = 1, 3, 4, 5, 6  # NFTA_CHAIN_*
_HOOK_NUMBER = 1  # NFTA_HOOK_HOOKNUM
_FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 10: "ip6"}  # NFPROTO_*
_FORWARD = 2  # NF_INET_FORWARD, which packets of local sockets do not pass either
_ACCEPT = 1  # NF_ACCEPT

_LEGACY = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")
_NAMED = 4  # how many things of a kind are named in a sentence


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of policy routing.

    Attributes:
        family: AF_INET or AF_INET6.
        priority: Its place.
        mark: The mark that it wants; 0 for any.
        users: The first and the last user that it is for; None for all.
        inverted: Whether it is for all packets but these.
    """

    family: int
    priority: int
    mark: int = 0
    users: tuple[int, int] | None = None
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """A base chain of nftables; those of iptables-nft are among them.

    Attributes:
        family: As nft(8) calls it.
        table: Its table.
        name: Its name.
        hook: The number of its hook.
        acts: Whether it has rules, or drops by its policy.
    """

    family: str
    table: str
    name: str
    hook: int
    acts: bool


def look() -> list[str]:
    """What an administrator should know, a sentence for each kind; none where nothing is there.

    What this process may not ask for is left out. It asks the calling thread's network namespace.
    """
    found = [
        of_rules(_asked(rules), os.geteuid()),
        of_policies(_asked(policies)),
        of_chains(_asked(chains), _asked(legacy_tables)),
    ]
    return [each for each in found if each is not None]


def of_rules(found: Iterable[Rule], user: int) -> str | None:
    """What of policy routing the program's question to the FIB leaves out.

    An inverted rule for a mark holds for packets without one, which is what the FIB is asked for;
    and a rule for users counts where it tells the agent's from user 0, as whom the program asks.
    """
    names = []
    for rule in found:
        name = f"{'ip -6' if rule.family == socket.AF_INET6 else 'ip'} rule {rule.priority}"
        if rule.mark and not rule.inverted:
            names.append(f"{name} (fwmark {rule.mark:#x})")
        elif rule.users and _within(0, rule.users) != _within(user, rule.users):
            names.append(f"{name} (uidrange {rule.users[0]}-{rule.users[1]})")
    if not names:
        return None
    return (
        f"Routing by mark or user ({_listed(names)}) does not hold for packets that the kernel "
        "path forwards: they have no mark and are user 0's. Where it should, route by address, "
        "port or DSCP, or forward in userspace (--dataplane userspace)."
    )


def of_policies(found: Iterable[str]) -> str | None:
    """What of IPsec the program passes by, of policies in words."""
    names = list(found)
    if not names:
        return None
    return (
        f"IPsec policies (xfrm: {_listed(names)}) do not hold for packets that the kernel path "
        "forwards: it neither encrypts them nor wants them encrypted. Where they should, forward "
        "in userspace (--dataplane userspace)."
    )


def of_chains(found: Iterable[Chain], legacy: Iterable[str]) -> str | None:
    """What of packet filters the program passes by."""
    names = [
        f"nftables {each.family} {each.table} {each.name}"
        for each in found
        if each.acts and (each.family == "netdev" or each.hook != _FORWARD)
    ]
    names += [f"iptables-legacy {each}" for each in legacy]
    if not names:
        return None
    return (
        f"This host's packet filter ({_listed(names)}) sees a call's set-up, and none of the "
        "packets that the kernel path forwards: to block a client of a call that runs, do it "
        "before this host, or forward in userspace (--dataplane userspace)."
    )


def parse_rule(payload: bytes) -> Rule:
    """A rule, as rtnetlink tells it."""
    family, *_, flags = _RULE.unpack_from(payload)
    found = rtnetlink.attributes(payload[_RULE.size :])
    users = found.get(_USERS)
    return Rule(
        family=family,
        priority=_native(found.get(_PRIORITY)),
        mark=_native(found.get(_MARK)),
        users=_UID_RANGE.unpack(users) if users else None,
        inverted=bool(flags & _INVERTED),
    )


def parse_policy(payload: bytes) -> str | None:
    """An IPsec policy in words; None for one that is not about packets of this host's sockets."""
    destination, source, family, to_bits, from_bits = _SELECTOR.unpack_from(payload)
    direction = payload[_DIRECTION]
    if direction >= len(_DIRECTIONS) or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    size = 4 if family == socket.AF_INET else 16
    ends = [
        f"{socket.inet_ntop(family, address[:size])}/{bits}"
        for address, bits in ((source, from_bits), (destination, to_bits))
    ]
    return f"{_DIRECTIONS[direction]} {ends[0]} to {ends[1]}"


def parse_chain(payload: bytes) -> Chain | None:
    """A chain of nftables; None for one that no packet comes to by itself."""
    family = _FAMILIES.get(payload[0])
    found = rtnetlink.attributes(payload[4:])  # behind struct nfgenmsg
    if family is None or _HOOK not in found:
        return None
    hook = rtnetlink.attributes(found[_HOOK])
    return Chain(
        family=family,
        table=_text(found.get(_TABLE)),
        name=_text(found.get(_NAME)),
        hook=_network(hook.get(_HOOK_NUMBER)),
        acts=bool(_network(found.get(_USE))) or _network(found.get(_POLICY), _ACCEPT) != _ACCEPT,
    )


def rules() -> Iterator[Rule]:
    """The rules of policy routing.

    Raises:
        OSError: The kernel does not list them, or not to this process.
    """
    with rtnetlink.opened() as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            head = _RULE.pack(family, 0, 0, 0, 0, 0, 0)
            yield from map(parse_rule, rtnetlink.dump(kernel, _GET_RULE, _NEW_RULE, head))


def policies() -> Iterator[str]:
    """The IPsec policies that are about packets of this host's sockets, in words.

    Raises:
        OSError: The kernel has none, or does not list them to this process.
    """
    with rtnetlink.opened(_NETLINK_XFRM) as kernel:
        payloads = rtnetlink.dump(kernel, _GET_POLICY, _NEW_POLICY, bytes(_POLICY_ID_SIZE))
        yield from filter(None, map(parse_policy, payloads))


def chains() -> Iterator[Chain]:
    """The base chains of nftables.

    Raises:
        OSError: The kernel has none, or does not list them to this process.
    """
    with rtnetlink.opened(_NETLINK_NETFILTER) as kernel:
        payloads = rtnetlink.dump(kernel, _GET_CHAIN, _NEW_CHAIN, bytes(4))
        yield from filter(None, map(parse_chain, payloads))


def legacy_tables() -> Iterator[str]:
    """The tables of the older iptables.

    Raises:
        OSError: They are not for this process to know.
    """
    for path in map(Path, _LEGACY):
        with suppress(FileNotFoundError):
            version = "IPv6 " if "ip6" in path.name else ""
            for table in path.read_text(encoding="ascii").split():
                yield f"{version}{table}"


def _asked(ask: Callable[[], Iterable[T]]) -> list[T]:
    with suppress(OSError):  # this kernel has no such thing, or this process may not know
        return list(ask())
    return []


def _within(user: int, users: tuple[int, int]) -> bool:
    return users[0] <= user <= users[1]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _native(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)


def _network(value: bytes | None, otherwise: int = 0) -> int:
    return otherwise if value is None else int.from_bytes(value, "big")


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="replace")
