"""What clients are told of a relay's VIPs where a 1:1 NAT stands in front of it, as in a cloud.

The relay itself tells clients nothing: answers carry what the registry says. Here is whether that
can be right for the VIPs that the relay receives at.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence

from relay.config.conflict import Conflict, ConflictError
from relay.config.registry import Registry
from relay.wire.endpoint import Endpoint

_VERSIONS = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def advertised(vips: Sequence[Endpoint], advertise: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """What clients are told: of each IP version `advertise`, or the VIPs where it has none."""
    told: dict[Endpoint, None] = {}
    for vip in vips:
        instead = [each for each in advertise if each.family == vip.family]
        told |= dict.fromkeys(instead or [vip])
    return tuple(told)


def conflicts(vips: Sequence[Endpoint], advertise: Sequence[Endpoint]) -> Iterator[Conflict]:
    """Why these addresses cannot be advertised for these VIPs."""
    received = Counter(vip.family for vip in vips)
    told = Counter(each.family for each in advertise)
    for family, count in told.items():
        version = _VERSIONS[family]
        if received[family] == 0:
            yield Conflict(
                f"an {version} address is advertised, and no VIP is {version}",
                ("add one with {vip}", "leave it out of {advertise}"),
            )
        elif count < received[family]:
            yield Conflict(
                f"{received[family]} VIPs are {version}, and {count} advertised: clients would "
                "not find all of them",
                ("name one for each VIP with {advertise}",),
            )


def agreed(
    vips: Sequence[Endpoint], advertise: Sequence[Endpoint], registry: Registry
) -> tuple[Endpoint, ...]:
    """What clients are told, by the registry and by a relay's own settings.

    Args:
        vips: The relay's VIPs.
        advertise: Its own settings; the registry alone says it where they are empty.
        registry: The registry, which may not know the relay.

    Raises:
        ConflictError: The registry tells clients other addresses than the settings say.
    """
    entries = {relay.vip: relay.advertised for relay in registry.relays}
    if not advertise:
        return tuple(dict.fromkeys(told for vip in vips for told in entries.get(vip, (vip,))))
    expected = advertised(vips, advertise)
    wrong = {told: None for vip in vips for told in entries.get(vip, ()) if told not in expected}
    if wrong:
        raise ConflictError(
            Conflict(
                f"the registry tells clients {', '.join(map(str, wrong))}, and the relay is told "
                f"that it is advertised as {', '.join(map(str, expected))}",
                ("write advertise below its vip in the registry", "correct {advertise}"),
            )
        )
    return expected
