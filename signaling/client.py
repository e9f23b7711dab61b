"""Whose request it is: the address that a client's calls have in common, and where he is. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from relay.config.networks import Network, is_within

#: Proxies for TLS commonly run on the same host.
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
#: Of IPv6 a site has at least so many bits to itself (RFC 6177, section 2).
_SITE = 64
# Azure's Application Gateway writes the port, too, and AWS's load balancer if it is told to.
_WITH_PORT = re.compile(r"\[(?P<v6>[^]]*)\](?::[0-9]+)?|(?P<v4>[^:]*):[0-9]+")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class Origin(NamedTuple):
    """Where a request comes from.

    Attributes:
        client: Whose it is, as an address; see `client_of`.
        region: Where he is, as the edge says; None where nobody says so who is believed.
    """

    client: str
    region: str | None = None


def client_of(
    peer: str,
    forwarded: Iterable[str],
    proxies: Sequence[Network],
    unread: Callable[[str, str], None] = lambda _proxy, _entry: None,
) -> str:
    """The client of a request: an IPv4 address, or the /64 of an IPv6 address.

    Args:
        peer: Where the connection comes from.
        forwarded: The values of X-Forwarded-For, to which each proxy adds whom it talks to; what
            stands before that may be made up.
        proxies: Whose additions are believed.
        unread: Told of a proxy, and of what it has added that is no address: it counts as the
            client of what it passes on.
    """
    chain = [each.strip() for value in forwarded for each in value.split(",")]
    client = peer
    while chain and is_within(client, proxies):
        entry = chain.pop()
        nearest = _address_in(entry)
        if nearest is None:
            unread(client, entry)
            break
        client = nearest
    return _shared_part(client)


def region_of(peer: str, told: Sequence[str], proxies: Sequence[Network]) -> str | None:
    """The region of a request's client, as a proxy tells it: of himself a client may say anything.

    Args:
        peer: Where the connection comes from.
        told: The values of the header that tells it.
        proxies: Who is believed. Each sets the header, or takes it away, whatever its client sent.

    Returns:
        The region, of up to 32 letters, digits and ``. _ -``; None where none is told.
    """
    if len(told) != 1 or not is_within(peer, proxies):
        return None
    match = _REGION.fullmatch(told[0].strip())
    return match and match[0]


def _address_in(entry: str) -> str | None:
    """The address that a proxy has written, with or without a port; None where there is none."""
    found = _WITH_PORT.fullmatch(entry)
    host = entry if found is None else found["v6"] or found["v4"] or ""
    return host if _is_address(host) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _shared_part(host: str) -> str:
    if not _is_address(host):
        return host
    address = ip_address(host)
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _SITE), strict=False))
