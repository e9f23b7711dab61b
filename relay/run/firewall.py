"""The host's firewall, as far as a relay can say something useful about it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from relay.run.config import RelayConfig
from relay.run.droprules import Wanted, dropping

_LIMIT = 5.0  # seconds; it takes some milliseconds


def wanted(config: RelayConfig) -> list[Wanted]:
    """What a relay needs to be let in."""
    vips = [Wanted("udp", range(port, port + 1)) for port in sorted({v.port for v in config.vips})]
    spans = config.ports_by_transport.values()
    ports = [Wanted("udp", range(each[0], each[-1] + 1)) for each in spans]
    tcp = sorted({address.port for address in config.tcp})
    return vips + ports + [Wanted("tcp", range(port, port + 1)) for port in tcp]


def accepted(config: RelayConfig) -> list[str]:
    """What a relay needs to be let in, in nft's words."""
    udp = sorted({str(vip.port) for vip in config.vips})
    udp += [f"{ports[0]}-{ports[-1]}" for ports in config.ports_by_transport.values()]
    tcp = sorted({str(address.port) for address in config.tcp})
    return [
        f"{protocol} dport {{ {', '.join(ports)} }}"
        for protocol, ports in (("udp", udp), ("tcp", tcp))
        if ports
    ]


def closed_chains() -> list[str]:
    """The chains of nftables that drop what is for this host, unless one of their rules accepts it.

    Those of ``iptables-nft`` are among them. Where nft is not installed, or this process may not
    ask, there are none.
    """
    chains = [each["chain"] for each in _listed("chains") if "chain" in each]
    return [
        f"{each['family']} {each['table']} {each['name']}"
        for each in chains
        if each.get("hook") == "input" and each.get("policy") == "drop"
    ]


def dropped(needed: Sequence[Wanted]) -> list[str]:
    """What rules of this host drop of what a relay needs, a sentence with its remedy for each."""
    sentences = dict[str, None]()
    for rule in dropping(_listed("ruleset"), needed):
        some = "" if rule.whole else "some packets of "
        sentences.setdefault(
            f"A rule of this host's firewall drops {some}{rule.wanted} (chain {rule.chain}, handle "
            f"{rule.handle}): nft delete rule {rule.chain} handle {rule.handle}"
        )
    return list(sentences)


def _listed(what: str) -> list[dict[str, Any]]:
    """What nft lists; nothing where it is not installed, or this process may not ask."""
    if shutil.which("nft") is None:
        return []
    try:
        asked = subprocess.run(
            ["nft", "--json", "list", what], capture_output=True, check=True, timeout=_LIMIT
        )
        listed: list[dict[str, Any]] = json.loads(asked.stdout)["nftables"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return []
    return listed


def warning(needed: Sequence[str]) -> str | None:
    """What an administrator should check, in one sentence; None where nothing drops by default.

    Args:
        needed: What must pass, in nft's words, such as ``udp dport 3478``.
    """
    chains = closed_chains()
    if not chains:
        return None
    rules = " and ".join(f"`nft add rule {chains[0]} {each} accept`" for each in needed)
    return (
        f"This host's firewall drops what no rule accepts (chain {', '.join(chains)}): "
        f"if calls do not connect, {rules}"
    )
