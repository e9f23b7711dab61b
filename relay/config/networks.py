"""Networks that have a name, and whether an address is in one."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

#: Those of no public addresses: RFC 1918, RFC 6598 (shared), RFC 4193 (IPv6).
PRIVATE: tuple[Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)


def is_within(host: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of some networks; a text that is no address is in none."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
