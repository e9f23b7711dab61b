"""What else this host does to a relay's packets and ports. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from relay.dataplane.kernel.unseen import Chain, Rule, of_chains, of_policies, of_rules
from relay.doctor.finding import Finding, Verdict

_AS_ROOT = "run it as root, such as with sudo"


@dataclass(frozen=True, slots=True)
class Network:
    """What a host does to packets; None where this process may not know.

    Attributes:
        rules: Its rules of policy routing.
        policies: Its IPsec policies, in words.
        chains: Its chains of nftables.
        legacy: Its tables of the older iptables.
        firewall: That what is for this host is dropped by default, in a sentence; None where not.
        user: As whom the relay's agent sends.
        dropped: What rules drop of what the relay needs, a sentence each.
    """

    rules: Sequence[Rule] | None
    policies: Sequence[str] | None
    chains: Sequence[Chain] | None
    legacy: Sequence[str] | None
    firewall: str | None
    user: int
    dropped: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports the kernel gives to sockets that ask for none, and who has some.

    Attributes:
        ephemeral: The first and the last of those, net.ipv4.ip_local_port_range.
        reserved: Those that it keeps out of it, net.ipv4.ip_local_reserved_ports.
        taken: Those that other sockets of this host have over UDP, on the relay's addresses.
    """

    ephemeral: tuple[int, int]
    reserved: Sequence[range] = ()
    taken: Sequence[int] = ()


def bypassed(found: Network) -> Iterator[Finding]:
    """What holds for packets of sockets and not for those that the kernel path forwards."""
    yield _unseen("policy routing", found.rules, lambda rules: of_rules(rules, found.user))
    yield _unseen("xfrm", found.policies, of_policies)
    chains, legacy = found.chains, found.legacy
    yield _unseen("nftables", chains, lambda known: of_chains(known, legacy or ()))


def firewall(found: Network) -> Iterator[Finding]:
    """Whether this host lets packets in."""
    for sentence in found.dropped:
        yield Finding.told("firewall", Verdict.WARN, sentence)
    if found.firewall is not None:
        yield Finding.told("firewall", Verdict.WARN, found.firewall)
    elif found.chains is None:
        yield Finding.unknown("firewall", "this process may not ask for it", _AS_ROOT)
    elif not found.dropped:
        yield Finding.ok("firewall", "nothing of nftables drops what is for the relay")


def ports(found: Ports, wanted: Sequence[range]) -> Finding:
    """Whether a relay's upstream ports are its own.

    Args:
        found: What the kernel does with ports.
        wanted: The relay's; each with its step.
    """
    first, last = found.ephemeral
    shared = sorted(
        port
        for each in wanted
        for port in each
        if first <= port <= last and not any(port in kept for kept in found.reserved)
    )
    if shared:
        kept = [*found.reserved, *(range(each[0], each[-1] + 1) for each in wanted)]
        listed = ",".join(f"{each[0]}-{each[-1]}" for each in kept)
        return Finding(
            "ports",
            Verdict.WARN,
            f"{len(shared):,} upstream ports, {shared[0]} to {shared[-1]}, lie in "
            f"ip_local_port_range ({first}-{last}): any other socket may be given one",
            f"sysctl -w net.ipv4.ip_local_reserved_ports={listed}",
        )
    if found.taken:
        few = ", ".join(map(str, found.taken[:4])) + (" ..." if len(found.taken) > 4 else "")
        return Finding(
            "ports",
            Verdict.WARN,
            f"other sockets have {len(found.taken):,} of the upstream ports ({few})",
            f"`ss -aunp sport = :{found.taken[0]}` tells whose; stop it, or move --ports",
        )
    written = " and ".join(f"{each[0]}-{each[-1]}" for each in wanted)
    return Finding.ok("ports", f"{written} are free, and outside ip_local_port_range or reserved")


def _unseen(name: str, found: Sequence[object] | None, of: Callable[..., str | None]) -> Finding:
    if found is None:
        return Finding.unknown(name, "this process may not ask for it", _AS_ROOT)
    sentence = of(found)
    if sentence is None:
        return Finding.ok(name, "nothing that the kernel path would pass by")
    return Finding.told(name, Verdict.WARN, sentence)
