"""Next hops of the kernel's flows: the words by which records name them, decoded for people.

struct hop of bpf/relay.h.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Instance

_INDEX = (1 << 12) - 1  # HOP_INDEX_BITS


class Hops:
    """The table of next hops of an instance, as memory.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        with pins.opened("hops") as table:
            self._layout = table.value
        self._memory = MappedArray(pins.opened("hops"))
        # Not by the host's names: it may be in another network namespace than this process.
        self._names = {number: name for name, number in pins.linked().items()}

    def show(self, binding: int) -> dict[str, Any] | None:
        """The next hop that a flow's binding names; None where it has none.

        Args:
            binding: The word in the flow's record. It may be one that the program would look up
                again before it uses it.
        """
        raw = bytes(self._memory.element(binding & _INDEX))
        shown, spans = self._layout.show(raw), self._layout.spans
        number = shown["ifindex"]
        if not binding or not isinstance(number, int) or not number:
            return None
        gateway = raw[spans["gateway"]]
        return {
            "interface": self._names.get(number, str(number)),
            # An IPv4 address is the first word, and the rest is zero.
            "gateway": str(IPv6Address(gateway) if any(gateway[4:]) else IPv4Address(gateway[:4])),
            "mac": raw[spans["destination_mac"]].hex(":"),
            "mtu": shown["mtu"],
            "vlan": shown["vlan"],
        }

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
