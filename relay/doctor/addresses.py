"""Whether a relay's addresses are its own, and clients are told the right ones. Pure."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from relay.config.networks import PRIVATE, is_within
from relay.doctor.finding import Finding, Verdict
from relay.wire.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Binding:
    """What came of binding an address.

    Attributes:
        option: Which setting names it.
        address: The address; port 0 stands for any.
        refused: The kernel's error number; None where it could be bound.
        why: Its text.
        remedy: What mends it, where this host has something against all such addresses.
    """

    option: str
    address: Endpoint
    refused: int | None
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a STUN server saw of a datagram from one of this host's addresses.

    Attributes:
        local: Where it was sent from.
        seen: From where it came, as the server saw it; None where nothing came back.
        why: Why not.
    """

    local: Endpoint
    seen: Endpoint | None
    why: str = ""


def bound(tried: Sequence[Binding], *, running: bool) -> Iterator[Finding]:
    """Whether the relay can have its addresses.

    Args:
        tried: What came of binding them.
        running: Whether the relay itself runs, and has them.
    """
    for each in tried:
        host, port = each.address
        where = str(each.address) if port else host
        name = f"{each.option} {where}"
        if each.refused is None:
            yield Finding.ok(
                name, "this host has it" + (", and nobody has the port" if port else "")
            )
        elif each.refused == errno.EADDRINUSE and running:
            yield Finding.ok(name, "the relay that runs as this instance has it")
        else:
            yield Finding(name, Verdict.FAIL, *_refused(each, where))


def _refused(each: Binding, where: str) -> tuple[str, str]:
    """Why an address cannot be bound, and what helps."""
    host, port = each.address
    if each.remedy:
        return "IPv6 is switched off on this host", each.remedy
    if each.refused == errno.EADDRNOTAVAIL:
        bits = 128 if ":" in host else 32
        fix = f"correct --{each.option}, or give it: ip address add {host}/{bits} dev lo"
        return "no interface of this host has it", fix
    if each.refused == errno.EADDRINUSE:
        kind = "u" if each.option == "vip" else "t"
        fix = f"`ss -l{kind}np sport = :{port}` tells which: stop it, or choose another port"
        return "another process has the port", fix
    if each.refused == errno.EACCES:
        fix = "run it as root, or choose another port"
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE", fix
    return f"cannot be bound: {each.why}", f"correct --{each.option} {where}"


def told(vips: Sequence[Endpoint], advertised: Sequence[Endpoint]) -> Iterator[Finding]:
    """Whether clients of the Internet can be told these addresses.

    Args:
        vips: What the relay binds.
        advertised: What clients are told.
    """
    public = [each for each in advertised if _is_public(each)]
    for each in advertised:
        name = f"advertised {each}"
        if each in public:
            says = "is public" if each in vips else "is public, and told in place of the VIP"
            yield Finding.ok(name, says)
        elif not public:
            yield Finding(
                name,
                Verdict.WARN,
                "is private: no client of the Internet can reach it",
                "--advertise PUBLIC:PORT, where a 1:1 NAT stands in front (--stun HOST:PORT finds "
                "out); where all clients are in this network, all is well",
            )


def mapped(found: Sequence[Mapped], advertised: Sequence[Endpoint]) -> Iterator[Finding]:
    """Whether this host is behind a NAT, and clients are told the address on its other side.

    Args:
        found: What a STUN server saw of each of the relay's public addresses.
        advertised: What clients are told.
    """
    for each in found:
        name = f"nat {each.local.host}"
        if each.seen is None:
            yield Finding.unknown(name, f"the STUN server does not answer ({each.why})")
        elif each.seen.host in {told.host for told in advertised}:
            way = "no NAT" if each.seen.host == each.local.host else "a NAT, and its other side"
            yield Finding.ok(name, f"{way}: clients are told {each.seen.host}")
        elif each.seen.host == each.local.host:
            listed = ", ".join(map(str, advertised))
            yield Finding(
                name,
                Verdict.FAIL,
                f"no NAT changes this address on the way out, and clients are told {listed}",
                "leave --advertise away (and advertise out of the registry)",
            )
        else:
            yield _behind(name, each.local, each.seen)


def _behind(name: str, local: Endpoint, seen: Endpoint) -> Finding:
    if seen.port != local.port:
        return Finding(
            name,
            Verdict.WARN,
            f"is behind a NAT that changes ports, too (to {seen}): not a 1:1 NAT",
            f"have it forward the VIP's port to {local.host}, and --advertise {seen.host}:PORT",
        )
    return Finding(
        name,
        Verdict.FAIL,
        f"is behind a 1:1 NAT as {seen.host}, and clients are told another address",
        f"--advertise {seen.host}:PORT, and advertise below its vip in the registry",
    )


def _is_public(endpoint: Endpoint) -> bool:
    """Whether it can be reached from anywhere; documentation's addresses pass for public ones."""
    address = ip_address(endpoint.host)
    return not (is_within(endpoint.host, PRIVATE) or address.is_loopback or address.is_link_local)
