"""Through which interfaces and VLANs the program may send packets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from relay.dataplane.kernel.pins import Instance
from relay.dataplane.kernel.rtnetlink import Link, links, parts_of_bonds
from relay.errors import DataplaneError


@dataclass(frozen=True, slots=True)
class TxPort:
    """Where packets may leave: an interface that runs the program, or a VLAN above one.

    Attributes:
        fib_index: The index that the FIB names: that of the interface, or of the VLAN's own.
        index: The index of the interface that runs the program.
        vlan: The VLAN's number; 0 for none.
    """

    fib_index: int
    index: int
    vlan: int = 0


def find_tx_ports(indexes: Collection[int]) -> list[TxPort]:
    """The interfaces with these indexes in this network namespace, and the VLANs above them."""
    return [TxPort(index, index) for index in indexes] + vlan_ports(links(), indexes)


def vlan_ports(links: Sequence[Link], indexes: Collection[int]) -> list[TxPort]:
    """The 802.1Q VLANs among these links that lie above interfaces with these indexes.

    Those above a bond are there once more for each of its parts, which tagged packets come in
    through; they come behind, as the first one that has the FIB's index is the way out.
    """
    above = [
        TxPort(link.index, link.lower, link.vlan)
        for link in links
        if link.vlan is not None and link.lower in indexes
    ]
    parts = parts_of_bonds(links)
    return above + [
        TxPort(port.fib_index, part, port.vlan)
        for port in above
        for part, bond in parts.items()
        if bond == port.index
    ]


def renew_tx_ports(pins: Instance) -> None:
    """Let packets leave through the instance's interfaces and the VLANs above them as they are now.

    Raises:
        DataplaneError: There are more than the program has room for.
        OSError: The kernel refuses.
    """
    write_tx_ports(pins, find_tx_ports([index for index in pins.linked().values() if index]))


def write_tx_ports(pins: Instance, ports: Sequence[TxPort]) -> None:
    """Let packets leave through these ports only, and come in with the tags of these only.

    Under traffic: what stays is there at any moment. If there are more than the program has room
    for, the first ones are written.

    Args:
        pins: The instance.
        ports: The ports, of which the first one with a FIB's index is the way out.

    Raises:
        DataplaneError: There are more than the program has room for.
    """
    ways = {port.fib_index: port for port in reversed(ports)}
    tags = {(port.index, port.vlan) for port in ports if port.vlan}
    with pins.opened("tx_ports") as table, pins.opened("own_vlans") as vlans:
        out = {
            table.key.number(index): table.value.pack({"ifindex": port.index, "vlan": port.vlan})
            for index, port in reversed(ways.items())
        }
        tagged = {
            vlans.key.pack({"ifindex": index, "vlan": vlan}): vlans.value.number(1)
            for index, vlan in sorted(tags)
        }
        for pinned, wanted in ((table, out), (vlans, tagged)):
            pinned.sync(dict(islice(wanted.items(), pinned.info.max_entries)))
        room = table.info.max_entries
    if max(len(out), len(tagged)) > room:
        raise DataplaneError(
            f"There are {len(out)} interfaces and VLANs above them, and {len(tagged)} ways in for "
            f"VLANs; the program has room for {room}: remove VLANs that this host does not need."
        )
