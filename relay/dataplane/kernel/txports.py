"""Through which interfaces and VLANs the program may send packets."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.errors import DataplaneError

if TYPE_CHECKING:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

ETH_P_8021Q = 0x8100  # linux/if_ether.h


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
    from pyroute2 import IPRoute  # noqa: PLC0415  # 11 MB that an agent seldom needs

    with IPRoute() as route:
        return [TxPort(index, index) for index in indexes] + vlan_ports(route.get_links(), indexes)


def vlan_ports(links: "Iterable[ifinfmsg]", indexes: Collection[int]) -> list[TxPort]:
    """The 802.1Q VLANs among these links that lie above interfaces with these indexes."""
    ports = []
    for link in links:
        data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
        lower = link.get_attr("IFLA_LINK")
        if (
            lower in indexes
            and link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "vlan"
            and data.get_attr("IFLA_VLAN_PROTOCOL") == ETH_P_8021Q
        ):
            ports.append(TxPort(link["index"], lower, data.get_attr("IFLA_VLAN_ID")))
    return ports


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
