"""Tries whether this host has a relay's addresses, and nobody else their ports."""

import socket
from collections.abc import Callable, Iterator, Sequence
from errno import EADDRNOTAVAIL, EINVAL

from relay.doctor.addresses import Binding
from relay.errors import BindError
from relay.forwarding.tcp import bind_tcp
from relay.forwarding.udp import SWITCH_IPV6_ON, bind_udp, ipv6_is_off
from relay.wire.endpoint import Endpoint


def bindings(
    vips: Sequence[Endpoint],
    upstreams: Sequence[str],
    tcp: Sequence[Endpoint],
    metrics: Endpoint | None,
) -> list[Binding]:
    """Bind each, and let it go at once; nothing that comes meanwhile is answered."""
    listeners = [("tcp", each) for each in tcp] + ([("metrics", metrics)] if metrics else [])
    return [
        *_tried("vip", vips, bind_udp),
        *_tried("upstream", [Endpoint(host, 0) for host in upstreams], bind_udp),
        *(each for name, where in listeners for each in _tried(name, [where], bind_tcp)),
    ]


def _tried(
    option: str, addresses: Sequence[Endpoint], bind: Callable[[Endpoint], socket.socket]
) -> Iterator[Binding]:
    for address in addresses:
        try:
            bind(address).close()
        except BindError as error:
            cause = error.__cause__
            number = cause.errno if isinstance(cause, OSError) else None
            off = number == EADDRNOTAVAIL and address.family == socket.AF_INET6 and ipv6_is_off()
            remedy = SWITCH_IPV6_ON if off else ""
            yield Binding(option, address, number or EINVAL, str(error), remedy)
        else:
            yield Binding(option, address, None)
