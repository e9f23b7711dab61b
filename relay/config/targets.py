"""Where a relay may send what clients send: the addresses that a transceiver can have.

Who can write a registry, or what is kept in Redis, must not be able to have a relay talk to its own
host or to services beside it (CVE-2020-26262 and CVE-2026-27624 of coturn: 0.0.0.0, ::1, and then
::ffff:127.0.0.1). So an address is canonicalised, then it has to be of an ordinary host, lie in an
allowed network, and be none of the relay's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from relay.config.networks import PRIVATE, Network
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

#: IPv6 networks whose addresses stand for IPv4 ones, which somebody on the way would talk to.
_EMBEDDING = {
    IPv6Network("::/96"): "an IPv4-compatible address (RFC 4291)",
    IPv6Network("::ffff:0:0/96"): "an IPv4-mapped address (RFC 4291)",
    IPv6Network("::ffff:0:0:0/96"): "an IPv4-translated address (RFC 2765)",
    IPv6Network("64:ff9b::/96"): "a NAT64 address (RFC 6052)",
    IPv6Network("64:ff9b:1::/48"): "a NAT64 address (RFC 8215)",
    IPv6Network("2001::/32"): "a Teredo address (RFC 4380)",
    IPv6Network("2002::/16"): "a 6to4 address (RFC 3056)",
}
_THIS_NETWORK = IPv4Network("0.0.0.0/8")  # RFC 1122, section 3.2.1.3: of no host but one that boots
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_BROADCAST = IPv4Address("255.255.255.255")


def parse_target(text: str) -> Endpoint:
    """Read an address to send to, in any spelling but one that says IPv6 and means IPv4.

    Raises:
        EndpointError: It is no address, or an IPv4-mapped one.
    """
    target = Endpoint.parse(text)
    if text.startswith("[") and ":" not in target.host:
        raise EndpointError(f"{text} is an IPv4-mapped address: write {target}")
    return target


@dataclass(frozen=True, slots=True)
class Targets:
    """What may be sent to.

    Attributes:
        networks: Where targets may be; None for anywhere.
        loopback: Whether they may be on this host, though no network says so.
        vips: The relay's own public addresses.
        upstreams: The relay's own internal addresses.
        ports: Their ports, of which each belongs to a flow.
    """

    networks: Sequence[Network] | None = PRIVATE
    loopback: bool = False
    vips: frozenset[Endpoint] = frozenset()
    upstreams: frozenset[str] = frozenset()
    ports: tuple[range, ...] = ()

    def refusal(self, target: Endpoint) -> str | None:
        """Why an address may not be sent to, as a sentence that names it; None if it may."""
        fault = self._strange(target) or self._not_allowed(target) or self._own(target)
        return f"{target} is {fault}" if fault else None

    def refusal_of_relay(self, vip: Endpoint) -> str | None:
        """The same of a VIP of a cluster elsewhere, which is allowed by being named as one.

        It is public as a rule, and so in no network of transceivers.
        """
        fault = self._strange(vip) or self._own(vip)
        return f"{vip} is {fault}" if fault else None

    def _strange(self, target: Endpoint) -> str | None:
        address = ip_address(target.host)
        if (kind := _kind(address)) is not None:
            return f"{kind}: name the address of one host"
        if address.is_loopback and not self._has_loopback(address):
            return (
                "on the loopback, where the services of this very host are: if that is meant, say "
                f"so with --allow {_LOOPBACK[address.version == 6]}"
            )
        return None

    def _not_allowed(self, target: Endpoint) -> str | None:
        address = ip_address(target.host)
        if self.networks is not None and not self._is_allowed(address):
            return "in none of the allowed networks: add one with --allow"
        if any(address in _broadcasts(network) for network in self.networks or ()):
            return "the broadcast address of an allowed network"
        return None

    def _own(self, target: Endpoint) -> str | None:
        if target in self.vips:
            return "a VIP of this relay, which would talk to itself"
        if target.host in self.upstreams and any(target.port in ports for ports in self.ports):
            return "an upstream address of this relay, which would talk to itself"
        return None

    def _is_allowed(self, address: IPv4Address | IPv6Address) -> bool:
        if address.is_loopback and self.loopback:
            return True
        return any(address in network for network in self.networks or ())

    def _has_loopback(self, address: IPv4Address | IPv6Address) -> bool:
        # 0.0.0.0/0 means hosts elsewhere, and not this one.
        return self.loopback or any(
            address in network and _is_within_loopback(network) for network in self.networks or ()
        )


def all_loopback(hosts: Iterable[str]) -> bool:
    """Whether all addresses are on the loopback: only this host can be reached from them."""
    return all(ip_address(host).is_loopback for host in hosts)


def _kind(address: IPv4Address | IPv6Address) -> str | None:
    """What an address is that is not of an ordinary host."""
    kinds = {
        "the unspecified address": address.is_unspecified,
        "a multicast address": address.is_multicast,
        "a link-local address": address.is_link_local,
        "the broadcast address": address == _BROADCAST,
        f"in {_THIS_NETWORK}": address in _THIS_NETWORK,
    }
    if not address.is_loopback:
        kinds |= {what: address in network for network, what in _EMBEDDING.items()}
    return next((what for what, it_is in kinds.items() if it_is), None)


def _is_within_loopback(network: Network) -> bool:
    return any(
        network.version == own.version and network.subnet_of(own)  # type: ignore[arg-type]
        for own in _LOOPBACK
    )


def _broadcasts(network: Network) -> tuple[IPv4Address, ...]:
    """The broadcast address of a network, where it has one (RFC 3021: not of two addresses)."""
    if isinstance(network, IPv6Network) or network.prefixlen > 30:
        return ()
    return (network.broadcast_address,)
