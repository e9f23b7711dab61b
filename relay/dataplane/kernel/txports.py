"""Through which interfaces and VLANs the program may send packets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from relay.dataplane.kernel.pins import PinnedMap, Pins
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


def write_tx_ports(pins: Pins, ports: Sequence[TxPort]) -> None:
    """Let packets leave through these ports only.

    Raises:
        DataplaneError: There are more than the program has room for.
    """
    with PinnedMap(pins.map("tx_ports")) as table:
        room = table.info.max_entries
        if len(ports) > room:
            raise DataplaneError(
                f"There are {len(ports)} interfaces and VLANs above them; the program has room "
                f"for {room}."
            )
        rows = [{"fib_ifindex": p.fib_index, "ifindex": p.index, "vlan": p.vlan} for p in ports]
        for index, row in enumerate(rows + [{}] * (room - len(rows))):
            table.update(table.key.number(index), table.value.pack(row))
