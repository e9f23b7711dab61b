"""Rules of nftables that drop what comes for a port of this host, as nft(8) lists them; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_VERDICTS = ("drop", "reject")
_PORTS = ("udp", "tcp", "th")  # whose field dport is


class Wanted(NamedTuple):
    """What must get in.

    Attributes:
        protocol: ``udp`` or ``tcp``.
        ports: To which ports.
    """

    protocol: str
    ports: range

    def __str__(self) -> str:
        """It in nft's words."""
        first, last = self.ports[0], self.ports[-1]
        return f"{self.protocol} dport {first}" + (f"-{last}" if last != first else "")


class Dropping(NamedTuple):
    """A rule that drops something wanted.

    Attributes:
        chain: Its family, table and chain.
        handle: Its number there.
        wanted: What it drops.
        whole: Whether it drops all of that, and asks for nothing else, such as who has sent it.
    """

    chain: str
    handle: int
    wanted: Wanted
    whole: bool


def dropping(listed: Sequence[Mapping[str, Any]], wanted: Sequence[Wanted]) -> Iterator[Dropping]:
    """Rules for incoming packets that drop some of what is wanted, in their order in each chain.

    What an earlier rule of the same chain accepts by its port is not among it. Of chains that are
    jumped to, what leads there is not looked at.

    Args:
        listed: The objects of ``nft --json list ruleset``.
        wanted: What must get in.
    """
    rules = [each["rule"] for each in listed if "rule" in each]
    for chain in _reached(listed, rules):
        accepted: set[Wanted] = set()
        for rule in rules:
            if _chain_of(rule) != chain:
                continue
            names = {name for part in rule.get("expr", ()) for name in part}
            for each in wanted:
                hit = _hits(rule, each)
                if hit is None or each in accepted:
                    continue
                if names.intersection(_VERDICTS):
                    yield Dropping(" ".join(chain), int(rule["handle"]), each, hit)
                elif "accept" in names and hit:
                    accepted.add(each)


def _reached(
    listed: Sequence[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    """The chains that incoming packets come to, as family, table and name."""
    found = [
        (each["chain"]["family"], each["chain"]["table"], each["chain"]["name"])
        for each in listed
        if each.get("chain", {}).get("hook") == "input"
    ]
    for chain in found:  # it grows meanwhile
        for rule in rules:
            for part in rule.get("expr", ()) if _chain_of(rule) == chain else ():
                for way in ("jump", "goto"):
                    target = (*chain[:2], part[way]["target"]) if way in part else chain
                    if target not in found:
                        found.append(target)
    return found


def _chain_of(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    return rule["family"], rule["table"], rule["chain"]


def _hits(rule: Mapping[str, Any], wanted: Wanted) -> bool | None:
    """Whether a rule is about all of what is wanted; False: about some of it; None: about none."""
    whole = True
    for part in rule.get("expr", ()):
        match = part.get("match")
        if match is None:
            continue
        known = _matches(match, wanted)
        if known is None:
            whole = False  # of something else, such as an address
        elif not known:
            return None
    return whole


def _matches(match: Mapping[str, Any], wanted: Wanted) -> bool | None:
    """Whether an expression fits what is wanted; None: it is about something else."""
    left, right = match["left"], match["right"]
    equal = match["op"] in ("==", "in")
    if left == {"meta": {"key": "l4proto"}}:
        return (wanted.protocol in _members(right)) is equal
    payload = left.get("payload", {}) if isinstance(left, Mapping) else {}
    if payload.get("field") != "dport" or payload.get("protocol") not in _PORTS:
        return None
    if payload["protocol"] not in (wanted.protocol, "th"):
        return False
    fits = any(_overlap(each, wanted.ports) for each in _members(right))
    return fits is equal


def _members(right: Any) -> Sequence[Any]:
    return right["set"] if isinstance(right, Mapping) and "set" in right else [right]


def _overlap(member: Any, ports: range) -> bool:
    if isinstance(member, Mapping) and "range" in member:
        first, last = member["range"]
        return int(first) <= ports[-1] and ports[0] <= int(last)
    return isinstance(member, int) and member in ports
