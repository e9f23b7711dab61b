"""Through which interfaces and VLANs the program may send packets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


_NONE = TxPort(0, 0)  # the table ends here


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
    """Let packets leave through these ports only.

    Raises:
        DataplaneError: There are more than the program has room for.
    """
    with pins.opened("tx_ports") as table:
        room = table.info.max_entries
        if len(ports) > room:
            raise DataplaneError(
                f"There are {len(ports)} interfaces and VLANs above them; the program has room "
                f"for {room}."
            )
        before = [_port(table.value.show(value)) for _, value in table.items()]
        rows = arranged(before, ports)
        for index, port in enumerate(rows + [_NONE] * (room - len(rows))):
            if before[index] != port:
                fields = {"fib_ifindex": port.fib_index, "ifindex": port.index, "vlan": port.vlan}
                table.update(table.key.number(index), table.value.pack(fields))


def arranged(before: Sequence[TxPort], wanted: Sequence[TxPort]) -> list[TxPort]:
    """Ports in an order in which they can be written one by one, from the first, under traffic.

    Those that stay keep their order, and new ones come behind: so whatever stays is in the table at
    any moment. In another order one would overwrite another that is written again only later, and
    packets that want it meanwhile find no way out.

    Args:
        before: What the table has now.
        wanted: What it is to have, of which the first port with a FIB's index is the way out.
    """
    staying = list(dict.fromkeys(port for port in before if port in wanted))
    ports = staying + [port for port in dict.fromkeys(wanted) if port not in staying]
    return ports if _ways_out(ports) == _ways_out(wanted) else list(wanted)


def _ways_out(ports: Sequence[TxPort]) -> dict[int, TxPort]:
    return {port.fib_index: port for port in reversed(ports)}


def _port(row: Mapping[str, Any]) -> TxPort:
    return TxPort(row["fib_ifindex"], row["ifindex"], row["vlan"])
