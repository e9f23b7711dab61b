"""Which kinds of interfaces can run the program, by what the kernel says of them.

A driver decides whether it is native or generic mode. But some accept a program that can forward
nothing there, or that sees packets which the FIB knows by another interface: those are refused by
name, before a packet is lost.
"""

from collections.abc import Collection, Mapping, Sequence

from relay.dataplane.kernel.rtnetlink import ARPHRD_ETHER, ARPHRD_LOOPBACK, Link

_USERSPACE = "run the relay with --dataplane userspace"

# What looks like Ethernet, and does not bring this host packets of a network, by kind.
_USELESS = {
    "dummy": "no packet comes in through it, and what leaves by it is thrown away",
    "ifb": "no packet comes in through it but for traffic control",
    "nlmon": "it shows netlink messages",
    "macvtap": "its packets go to the program that has it open",
    "ipvtap": "its packets go to the program that has it open",
    "ipvlan": "it shares a MAC address, and its packets are told apart by IP",
}
# What takes packets of its parts for its own, and has their addresses.
_WHOLES = {"bond": "a part", "bridge": "a port", "team": "a part"}


def unfit(found: Sequence[Link], indexes: Collection[int], names: Mapping[int, str]) -> list[str]:
    """Why interfaces cannot run the program, and what to do; a sentence for each that cannot.

    Args:
        found: All interfaces of the network namespace.
        indexes: Those that are to run it.
        names: The names of all, by their numbers.
    """
    by_index = {link.index: link for link in found}
    reasons = (
        (index, _reason(by_index[index], by_index, names))
        for index in indexes
        if index in by_index.keys() & names.keys()
    )
    return [f"{names[index]} {reason}." for index, reason in reasons if reason]


def _reason(link: Link, found: Mapping[int, Link], names: Mapping[int, str]) -> str | None:
    if link.hardware == ARPHRD_LOOPBACK:
        return "is the loopback interface: name those that packets of a network come in through"
    if link.hardware != ARPHRD_ETHER or (link.mac and not any(link.mac)):
        kind = f"({link.kind}) " if link.kind else ""
        return (
            f"{kind}has no Ethernet header, which the XDP program "
            "reads and writes: name the interface that carries its packets if they are not "
            f"encapsulated there, or {_USERSPACE}"
        )
    if link.kind in _USELESS:
        return (
            f"is of the kind {link.kind}: {_USELESS[link.kind]}. Name the interface that packets "
            f"come in through, or {_USERSPACE}"
        )
    if link.kind == "vlan":
        return _reason_of_vlan(link, found, names)
    return _reason_of_part(link, found, names) if link.master else None


def _reason_of_vlan(link: Link, found: Mapping[int, Link], names: Mapping[int, str]) -> str | None:
    if link.netns is not None or link.lower not in found:
        return None  # in a container, for which it is like any other
    lower = names[link.lower]
    if link.vlan is None:
        return (
            f"is a VLAN with service tags (802.1ad), which the XDP program passes by: {_USERSPACE}"
        )
    return f"is a VLAN above {lower}: name {lower}, and the XDP program knows its VLANs"


def _reason_of_part(link: Link, found: Mapping[int, Link], names: Mapping[int, str]) -> str:
    kind = found[link.master].kind if link.master in found else ""
    whole = names.get(link.master, "another interface")
    if kind in _WHOLES:
        return (
            f"is {_WHOLES[kind]} of the {kind} {whole}, which has the addresses and the routes: "
            f"name {whole}"
        )
    if kind == "vrf":
        return (
            f"is in the VRF {whole}, of whose routes the XDP program knows nothing: take it out, "
            f"or {_USERSPACE}"
        )
    return (
        f"is a part of {whole}{f' ({kind})' if kind else ''}, which takes its packets: name an "
        f"interface with an address of its own, or {_USERSPACE}"
    )
