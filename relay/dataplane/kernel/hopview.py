"""The next hops by which the program forwards a flow, for people (struct hop of bpf/relay.h)."""

import socket
import sys
from dataclasses import dataclass

from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Instance

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


class HopView:
    """The next hops of an instance, read as memory.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        with pins.opened("hops") as hops, pins.opened("leases") as leases:
            self._hop, self._lease = hops.value, leases.value
        self._hops = MappedArray(pins.opened("hops"))
        self._leases = MappedArray(pins.opened("leases"))
        # Not by this host's names: it may be in another network namespace than this process.
        self._names = {number: name for name, number in pins.linked().items()}

    def show(self, binding: int) -> NextHop | None:
        """The next hop that a binding of a flow's record names; None: it has none yet."""
        index = binding & (1 << _INDEX_BITS) - 1
        raw, spans = bytes(self._hops.element(index)), self._hop.spans
        ifindex = int.from_bytes(raw[spans["ifindex"]], sys.byteorder)
        if not index or not ifindex:
            return None
        bound = binding >> _INDEX_BITS & (1 << _GENERATION_BITS) - 1
        return NextHop(
            interface=self._names.get(ifindex, f"interface {ifindex}"),
            gateway=_gateway(raw[spans["gateway"]]),
            source_mac=raw[spans["source_mac"]].hex(":"),
            destination_mac=raw[spans["destination_mac"]].hex(":"),
            vlan=int.from_bytes(raw[spans["vlan"]], "big"),
            mtu=int.from_bytes(raw[spans["mtu"]], sys.byteorder),
            current=bound == self._generation() & (1 << _GENERATION_BITS) - 1,
        )

    def _generation(self) -> int:
        raw, spans = bytes(self._leases.element(0)), self._lease.spans
        return sum(int.from_bytes(raw[spans[name]], sys.byteorder) for name in ("raised", "told"))

    def close(self) -> None:
        """Let go of the memory."""
        self._hops.close()
        self._leases.close()


def _gateway(raw: bytes) -> str:
    if not any(raw[_IP4_GATEWAY:]):
        return socket.inet_ntoa(raw[:_IP4_GATEWAY])
    return socket.inet_ntop(socket.AF_INET6, raw)
