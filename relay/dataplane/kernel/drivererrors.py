"""What to do when a driver refuses native XDP, by what drivers are known to say."""

import re
from collections.abc import Sequence

# Beginnings of words of a driver's message, in lower case, and the remedy; the first match counts.
# Drivers name the feature in the way, but seldom the command.
_REMEDIES: Sequence[tuple[tuple[str, ...], str]] = (
    # mlx5, virtio_net: "disable GRO_HW/CSUM first"; ixgbe, mlx5, bnxt: "LRO".
    (("gro_hw", "lro", "guest"), "ethtool -K {interface} lro off gro-hw off rx off"),
    # ena, gve, bnxt, veth: transmit queues for XDP come on top of the others.
    (("queue", "channel", "ring"), "give it half of its queues at most: ethtool -L {interface}"),
    # Nearly all: a packet has to fit a page together with room before and behind it.
    (("mtu", "single page", "frame size"), "use a smaller MTU on both ends of the link: 1500 fits"),
    # gve before 2022: 2 bytes. The program needs up to 24: IPv6 for IPv4, and a VLAN's tag.
    (("headroom",), "the driver leaves no room before the packet; only generic mode works"),
    # Those that have no native XDP at all answer with an error number alone.
    (
        ("operation not supported", "not supported", "does not support"),
        "the driver has no native XDP, or not for this device; only generic mode works",
    ),
)
_UNKNOWN = "the kernel's log may say more: dmesg"


def remedy(interface: str, message: str) -> str:
    """What the administrator can do about a refusal.

    Args:
        interface: The interface.
        message: The driver's own words, or the text of the error number.
    """
    lowered = message.lower()
    for signs, text in _REMEDIES:
        if any(re.search(rf"\b{sign}", lowered) for sign in signs):
            return text.format(interface=interface)
    return _UNKNOWN
