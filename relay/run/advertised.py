"""What clients are told of a relay's VIPs where a 1:1 NAT stands in front of it, as in a cloud.

The relay itself tells clients nothing: answers carry what the registry says. Here is whether that
can be right for the VIPs that the relay receives at.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence

from relay.config.conflict import Conflict, ConflictError, option
from relay.config.registry import Registry, Relay
from relay.wire.endpoint import Endpoint

_VERSIONS = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def advertised(vips: Sequence[Endpoint], advertise: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """What clients are told: of each IP version `advertise`, or the VIPs where it has none."""
    told: dict[Endpoint, None] = {}
    for vip in vips:
        instead = [each for each in advertise if each.family == vip.family]
        told |= dict.fromkeys(instead or [vip])
    return tuple(told)


def told_of(
    vips: Sequence[Endpoint], advertise: Sequence[Endpoint], tcp: Sequence[Endpoint]
) -> tuple[Relay, ...]:
    """A relay's VIPs as the registry has them, by the relay's own settings.

    Args:
        vips: Its VIPs.
        advertise: What clients are told in place of them.
        tcp: Where it listens for connections; a 1:1 NAT has another address, and the same ports.
    """
    families = {vip.family for vip in vips}
    relays: list[Relay] = []
    for vip in vips:
        instead = tuple(each for each in advertise if each.family == vip.family)
        told = [
            address if at in (vip, address) else address._replace(port=at.port)
            for at in tcp
            if at.family == vip.family
            for address in (instead or (at,))
        ]
        if not relays and not advertise:
            told += [at for at in tcp if at.family not in families]
        relays.append(Relay(vip, instead, tuple(dict.fromkeys(told))))
    return tuple(relays)


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


def unheard(vips: Sequence[Endpoint], tcp: Sequence[Endpoint], registry: Registry) -> str | None:
    """What to say where clients are told to connect over TCP and the relay does not listen.

    Behind a 1:1 NAT, which may map ports, too, that can be known only where the relay listens
    nowhere over that IP version.

    Args:
        vips: The relay's VIPs.
        tcp: Where it listens.
        registry: The registry, which may not know the relay.

    Returns:
        A sentence with the remedy; None where nothing is wrong, as far as a relay can know.
    """
    missing: dict[Endpoint, Endpoint] = {}  # by what clients are told: where to listen
    for relay in registry.relays:
        if relay.vip in vips:
            missing |= {told: at for told, at in _listeners(relay, vips, tcp) if at not in tcp}
    if not missing:
        return None
    remedy = " ".join(f"{option('tcp')} {at}" for at in dict.fromkeys(missing.values()))
    return (
        f"the registry tells clients to connect over TCP to {', '.join(map(str, missing))}, and "
        f"this relay does not listen there: add {remedy}, or take that out of tcp below its vip in "
        "the registry"
    )


def _listeners(
    relay: Relay, vips: Sequence[Endpoint], tcp: Sequence[Endpoint]
) -> Iterator[tuple[Endpoint, Endpoint]]:
    """What clients are told of TCP, and where the relay should listen for it, or does for all."""
    own = {each.host for each in (*vips, *tcp)}
    for told in relay.tcp:
        if told.host in own or not relay.advertise:
            yield told, told
            continue
        inside = [each for each in tcp if each.family == told.family]
        inside += [vip._replace(port=told.port) for vip in vips if vip.family == told.family]
        yield told, (inside or [told])[0]
