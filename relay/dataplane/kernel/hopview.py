"""The next hops by which the program forwards a flow, for people (struct hop of bpf/relay.h)."""

import socket
import sys
from dataclasses import dataclass

from relay.dataplane.kernel.pins import Instance, PinnedMap

_INDEX_BITS, _GENERATION_BITS = 12, 10  # HOP_INDEX_BITS, HOP_GENERATION_BITS of bpf/relay.h
_IP4_GATEWAY = 4  # bytes of it, where the rest is zero


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where packets of one direction leave.

    Attributes:
        interface: The interface's name, or its number where it has none here.
        gateway: The neighbour's IP address.
        source_mac: The MAC address that frames are sent from.
        destination_mac: The neighbour's.
        vlan: The VLAN's number; 0: untagged.
        mtu: Bytes of the largest packet.
        current: Whether nothing has changed about the host's network since the FIB said so.
    """

    interface: str
    gateway: str
    source_mac: str
    destination_mac: str
    vlan: int
    mtu: int
    current: bool

    def __str__(self) -> str:
        """In words."""
        vlan = f", VLAN {self.vlan}" if self.vlan else ""
        old = "" if self.current else "; the FIB is asked again at the next packet"
        return (
            f"via {self.gateway} on {self.interface}{vlan}, MAC {self.destination_mac} "
            f"(from {self.source_mac}), MTU {self.mtu}{old}"
        )


def next_hop(pins: Instance, binding: int) -> NextHop | None:
    """The next hop that a binding of a flow's record names; None: it has none yet.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
    """
    index = binding & (1 << _INDEX_BITS) - 1
    if not index:
        return None
    with pins.opened("hops") as hops, pins.opened("leases") as leases:
        hop = _element(hops, index)
        generation = _number(leases, "raised") + _number(leases, "told")

        def part(name: str) -> bytes:
            return hop[hops.value.spans[name]]

        ifindex = int.from_bytes(part("ifindex"), sys.byteorder)
        if not ifindex:
            return None
        bound = binding >> _INDEX_BITS & (1 << _GENERATION_BITS) - 1
        return NextHop(
            interface=_name(ifindex),
            gateway=_gateway(part("gateway")),
            source_mac=part("source_mac").hex(":"),
            destination_mac=part("destination_mac").hex(":"),
            vlan=int.from_bytes(part("vlan"), "big"),
            mtu=int.from_bytes(part("mtu"), sys.byteorder),
            current=bound == generation & (1 << _GENERATION_BITS) - 1,
        )


def _element(table: PinnedMap, index: int) -> bytes:
    return table.lookup(table.key.number(index)) or bytes(table.value.size)


def _number(leases: PinnedMap, name: str) -> int:
    return int.from_bytes(_element(leases, 0)[leases.value.spans[name]], sys.byteorder)


def _gateway(raw: bytes) -> str:
    if not any(raw[_IP4_GATEWAY:]):
        return socket.inet_ntoa(raw[:_IP4_GATEWAY])
    return socket.inet_ntop(socket.AF_INET6, raw)


def _name(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError:  # it is in another network namespace
        return f"interface {ifindex}"
