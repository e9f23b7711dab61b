"""Filling the maps that steer the program."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.dataplane.kernel.config import Settings
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

_SECOND = 1_000_000_000  # nanoseconds
ETH_P_8021Q = 0x8100  # linux/if_ether.h


@dataclass(frozen=True, slots=True)
class Gate:
    """What may reach the agent of one kind of packet, on each processor.

    Attributes:
        rate: Packets a second.
        burst: Packets at once.
    """

    rate: int
    burst: int


# In the order of `enum gate` in bpf/relay.h. A Python agent handles some 20,000 packets a second;
# Binding requests with a valid route get the most of that, and unknown media just enough to notice
# that a flow was lost: its client sends 50 packets a second. Datagrams in fragments or behind
# extension headers are rare in this field, and the agent alone can judge them.
GATES = {
    "stun_routed": Gate(rate=5000, burst=1000),
    "stun_answer": Gate(rate=5000, burst=1000),
    "unknown_client": Gate(rate=500, burst=100),
    "unknown_transceiver": Gate(rate=500, burst=100),
    "wrapped": Gate(rate=1000, burst=200),
}


def write_settings(pins: Pins, settings: Settings) -> None:
    """Put the settings in force. New ones come before old ones go.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
    """
    with PinnedMap(pins.map("vips")) as vips:
        vips.sync({_vip_key(vips, vip): vips.value.number(1) for vip in settings.vips})
    with PinnedMap(pins.map("upstreams")) as upstreams:
        upstreams.sync(
            {
                Endpoint(upstream.address, 0).packed[:16]: upstreams.value.pack(
                    {"first": upstream.first, "last": upstream.last}
                )
                for upstream in settings.upstreams
            }
        )
    with PinnedMap(pins.map("route_keys")) as keys:
        keys.sync({_key_id(keys, *name): value for name, value in settings.route_keys.items()})


@dataclass(frozen=True, slots=True)
class Port:
    """Where packets may leave: an interface that runs the program, or a VLAN above one.

    Attributes:
        fib_index: The index that the FIB names: that of the interface, or of the VLAN's own.
        index: The index of the interface that runs the program.
        vlan: The VLAN's number; 0 for none.
    """

    fib_index: int
    index: int
    vlan: int = 0


def find_ports(indexes: Collection[int]) -> list[Port]:
    """The interfaces with these indexes in this network namespace, and the VLANs above them."""
    from pyroute2 import IPRoute  # noqa: PLC0415  # 11 MB that an agent seldom needs

    with IPRoute() as route:
        return [Port(index, index) for index in indexes] + vlan_ports(route.get_links(), indexes)


def vlan_ports(links: "Iterable[ifinfmsg]", indexes: Collection[int]) -> list[Port]:
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
            ports.append(Port(link["index"], lower, data.get_attr("IFLA_VLAN_ID")))
    return ports


def write_ports(pins: Pins, ports: Sequence[Port]) -> None:
    """Let packets leave through these ports only.

    Raises:
        DataplaneError: There are more than the program has room for.
    """
    with PinnedMap(pins.map("ports")) as table:
        room = table.info.max_entries
        if len(ports) > room:
            raise DataplaneError(
                f"There are {len(ports)} interfaces and VLANs above them; the program has room "
                f"for {room}."
            )
        rows = [{"fib_ifindex": p.fib_index, "ifindex": p.index, "vlan": p.vlan} for p in ports]
        for index, row in enumerate(rows + [{}] * (room - len(rows))):
            table.update(table.key.number(index), table.value.pack(row))


def write_gates(pins: Pins, gates: Mapping[str, Gate] = GATES) -> None:
    """Set the rates of what may reach the agent."""
    with PinnedMap(pins.map("gate_limits")) as limits:
        for index, gate in enumerate(gates.values()):
            cost = _SECOND // gate.rate
            limits.update(
                limits.key.number(index),
                limits.value.pack({"cost_ns": cost, "burst_ns": cost * gate.burst}),
            )


def _vip_key(vips: PinnedMap, vip: Endpoint) -> bytes:
    packed = vip.packed
    return vips.key.pack({"addr.word": packed[:16], "port": packed[16:]})


def _key_id(keys: PinnedMap, cluster: int, slot: int) -> bytes:
    return keys.key.pack({"cluster": cluster, "slot": slot})
