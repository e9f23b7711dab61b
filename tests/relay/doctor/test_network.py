"""What is made of a host's routing, filters and ports."""

import socket
from dataclasses import replace
from typing import Any

import pytest

from relay.dataplane.kernel.unseen import Chain, Rule
from relay.doctor import network
from relay.doctor.finding import Finding, Verdict
from relay.doctor.network import Network, Ports

PLAIN = Network(rules=[], policies=[], chains=[], legacy=[], firewall=None, user=0)
OK, WARN, FAIL, UNKNOWN = Verdict
EPHEMERAL = (32_768, 60_999)


def bypassed(**changed: Any) -> dict[str, Finding]:
    return {each.name: each for each in network.bypassed(replace(PLAIN, **changed))}


@pytest.mark.parametrize(
    ("changed", "name", "verdict"),
    [
        ({}, "xfrm", OK),
        ({"rules": [Rule(socket.AF_INET, 77, mark=1)]}, "policy routing", WARN),
        ({"policies": ["out 192.0.2.0/24 to 10.0.0.0/8"]}, "xfrm", WARN),
        ({"chains": [Chain("inet", "fw", "in", 1, acts=True)]}, "nftables", WARN),
        ({"legacy": ["filter"]}, "nftables", WARN),
        ({"rules": None}, "policy routing", UNKNOWN),
        ({"policies": None}, "xfrm", UNKNOWN),
        ({"chains": None}, "nftables", UNKNOWN),
    ],
)
def test_what_the_kernel_path_passes_by(
    changed: dict[str, Any], name: str, verdict: Verdict
) -> None:
    told = bypassed(**changed)
    assert told[name].verdict is verdict
    assert ("userspace" in told[name].fix) is (verdict is WARN)
    assert {each.verdict for key, each in told.items() if key != name} == {OK}


def test_firewall() -> None:
    def verdicts(**found: Any) -> list[tuple[Verdict, str]]:
        return [(each.verdict, each.fix) for each in network.firewall(replace(PLAIN, **found))]

    assert verdicts() == [(OK, "")]
    assert [verdict for verdict, _ in verdicts(chains=None)] == [UNKNOWN]
    assert verdicts(firewall="it drops: `nft add rule`") == [(WARN, "`nft add rule`")]
    assert verdicts(dropped=["a rule drops: nft delete rule"]) == [(WARN, "nft delete rule")]


@pytest.mark.parametrize(
    ("found", "wanted", "fix"),
    [
        (Ports(EPHEMERAL), [range(10_000, 30_000)], None),
        (
            Ports(EPHEMERAL),
            [range(30_000, 40_000)],
            "sysctl -w net.ipv4.ip_local_reserved_ports=30000-39999",
        ),
        (
            Ports((1024, 60_999), [range(500, 600)]),
            [range(10_000, 20_000), range(20_000, 21_000)],
            "sysctl -w net.ipv4.ip_local_reserved_ports=500-599,10000-19999,20000-20999",
        ),
        (Ports((1024, 60_999), [range(9_000, 30_000)]), [range(10_000, 30_000)], None),
        (Ports(EPHEMERAL, taken=[10_005]), [range(10_000, 30_000)], "ss -aunp sport = :10005"),
    ],
)
def test_ports(found: Ports, wanted: list[range], fix: str | None) -> None:
    told = network.ports(found, wanted)
    assert (told.verdict is OK) is (fix is None)
    assert (fix or "") in told.fix
