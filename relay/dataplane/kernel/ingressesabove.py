"""Relay addresses on an interface above one that runs the program, with a MAC address of its own.

The program is asked below: a frame to that MAC address comes in through an interface that has
another one, and so is none for this host. It is passed up, as ``other_host``, and the agent
forwards the call for as long as it lasts. keepalived makes such an interface with ``use_vmac``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from socket import if_nameindex

from relay.dataplane.kernel import rtnetlink
from relay.dataplane.kernel.ownaddresses import CURRENT, UPSTREAMS, VIPS, OwnTable
from relay.dataplane.kernel.pins import Instance
from relay.dataplane.kernel.rtnetlink import Address, Link, parts_of_bonds
from relay.wire.endpoint import Endpoint

# What has a MAC address of its own, and its frames come in through the interface below. Of a veth,
# the number of another one is its far end's; what a tunnel carries is none of the relay's packets.
_ABOVE = ("macvlan", "vlan")
_NO_PORT = bytes(2)


def look(pins: Instance) -> list[str]:
    """What an administrator should know of an instance's addresses on this host.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
        OSError: The kernel refuses.
    """
    hosts = {*_hosts(pins, VIPS, b""), *_hosts(pins, UPSTREAMS, _NO_PORT)}
    running = [index for index in pins.linked().values() if index]
    links, assigned = rtnetlink.links(), rtnetlink.addresses()
    return [told for _, told in above(links, assigned, running, hosts, dict(if_nameindex()))]


def above(
    found: Sequence[Link],
    assigned: Iterable[Address],
    indexes: Collection[int],
    hosts: Collection[str],
    names: Mapping[int, str],
) -> list[tuple[int, str]]:
    """The addresses whose packets the program takes for another host's.

    Args:
        found: All interfaces of the network namespace.
        assigned: All its addresses.
        indexes: The interfaces that run the program.
        hosts: The relay's addresses, canonical text.
        names: The names of all interfaces, by their numbers.

    Returns:
        For each, the number of the interface that runs the program, and a sentence.
    """
    links = {link.index: link for link in found}
    parts = parts_of_bonds(found)
    # Packets of a bond come in through its parts.
    macs = {
        index: {link.mac for link in found if index in (link.index, parts.get(link.index))}
        for index in indexes
    }
    sentences = []
    for each in assigned:
        link = links.get(each.index)
        below = None if link is None or each.host not in hosts else _below(link, links, indexes)
        if link is None or below is None or link.mac in macs[below]:
            continue
        upper, lower = names.get(link.index, "an interface"), names.get(below, "one")
        told = (
            f"{each.host} is an address of {upper}, which lies above {lower} and has a MAC address "
            f"of its own, so that the XDP program on {lower} takes packets to it for another "
            "host's (other_host), and the agent forwards them. "
        )
        if link.kind == "vlan":
            mac = links[below].mac.hex(":")
            told += f"Give it that of {lower} with ip link set {upper} address {mac}."
        else:
            told += (
                f"Give {each.host} to {lower} (keepalived does without use_vmac), or name {upper} "
                f"in place of {lower}, which runs the program in generic mode."
            )
        sentences.append((below, told))
    return sentences


def _below(link: Link, links: Mapping[int, Link], indexes: Collection[int]) -> int | None:
    """The interface that runs the program, through which the packets of another one come in."""
    for _ in links:  # as many at most
        lower = links.get(link.lower)
        if link.index in indexes or link.kind not in _ABOVE or link.netns is not None:
            return None
        if lower is None or lower.index in indexes:
            return None if lower is None else lower.index
        link = lower
    return None


def _hosts(pins: Instance, table: str, port: bytes) -> list[str]:
    with closing(OwnTable(pins, table)) as own:
        return [
            Endpoint.unpack(name + port).host
            for number, name in own.names().items()
            if own.field(number, "own") == CURRENT
        ]
