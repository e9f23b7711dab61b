"""Forwarding on the loopback interface, as which the program asks the FIB.

It is off unless somebody switches it on, and goes off again when anybody writes to
net.ipv4.ip_forward or net.ipv6.conf.all.forwarding, which set it for all interfaces. The program
then finds no route for anything (`no_route`), and the agent has to forward everything by itself.
"""

import os
from contextlib import suppress

from relay import linux
from relay.errors import DataplaneError

SETTINGS = "net/ipv4/conf/lo/forwarding", "net/ipv6/conf/lo/forwarding"


def allow() -> list[str]:
    """Switch it on; the names of the settings that were off, as sysctl(8) has them.

    Raises:
        DataplaneError: It cannot be switched on.
    """
    return [name.replace("/", ".") for name in SETTINGS if _was_off(name)]


def is_off() -> bool:
    """Whether it is switched off for one of the address families; anybody may ask."""
    for name in SETTINGS:
        with suppress(OSError):  # a kernel without IPv6
            if linux.sysctl(name) != 1:
                return True
    return False


def mend() -> list[str]:
    """Switch it on again where it went off; what the administrator should know.

    Raises:
        DataplaneError: It cannot be switched on.
    """
    return [
        f"{name} had been switched off, as a write to ip_forward or all.forwarding does, so the "
        "agent forwarded what the kernel should; it is on again."
        for name in allow()
    ]


def stuck() -> list[str]:
    """The settings that are off and that this process cannot switch on, as sysctl(8) has them."""
    return [name.replace("/", ".") for name in SETTINGS if _is_stuck(name)]


def _is_stuck(name: str) -> bool:
    try:
        return linux.sysctl(name) != 1 and not os.access(linux.SYSCTL / name, os.W_OK)
    except OSError:  # a kernel without IPv6, or one that does not tell
        return False


def _was_off(name: str) -> bool:
    try:
        if linux.sysctl(name) == 1:
            return False
        linux.sysctl(name, 1)
    except FileNotFoundError:  # a kernel without IPv6
        return False
    except OSError as error:
        raise DataplaneError(
            f"Cannot switch on {name} ({error.strerror}), which the program needs: "
            "sysctl net.ipv4.conf.lo.forwarding=1 net.ipv6.conf.lo.forwarding=1"
        ) from None
    return True
