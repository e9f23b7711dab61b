"""The host's firewall, as far as a relay can say something useful about it."""

import json
import shutil
import subprocess
from collections.abc import Sequence

from relay.run.config import RelayConfig

_LIMIT = 5.0  # seconds; it takes some milliseconds


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
    if shutil.which("nft") is None:
        return []
    try:
        asked = subprocess.run(
            ["nft", "--json", "list", "chains"],
            capture_output=True,
            check=True,
            timeout=_LIMIT,
        )
        listed = json.loads(asked.stdout)["nftables"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return []
    chains = [each["chain"] for each in listed if "chain" in each]
    return [
        f"{each['family']} {each['table']} {each['name']}"
        for each in chains
        if each.get("hook") == "input" and each.get("policy") == "drop"
    ]


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
