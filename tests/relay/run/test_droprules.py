"""Rules as nft lists them: which drop what a relay needs."""

from collections.abc import Mapping
from typing import Any

from relay.run.droprules import Dropping, Wanted, dropping

VIP, PORTS = Wanted("udp", range(3478, 3479)), Wanted("udp", range(10_000, 30_000))
CHAIN = {"family": "inet", "table": "host", "name": "input"}
INPUT = {"chain": {**CHAIN, "hook": "input", "policy": "accept"}}
DROP, ACCEPT = {"drop": None}, {"accept": None}


def rule(handle: int, *parts: Mapping[str, Any], chain: str = "input") -> dict[str, Any]:
    where = {"family": "inet", "table": "host", "chain": chain, "handle": handle}
    return {"rule": {**where, "expr": list(parts)}}


def port(right: Any, protocol: str = "udp", op: str = "==") -> dict[str, Any]:
    left = {"payload": {"protocol": protocol, "field": "dport"}}
    return {"match": {"op": op, "left": left, "right": right}}


SOURCE = {
    "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "x"}
}


def found(*rules: dict[str, Any]) -> list[Dropping]:
    return list(dropping([INPUT, *rules], [VIP, PORTS]))


def test_a_port() -> None:
    assert found(rule(4, port(3478), DROP)) == [Dropping("inet host input", 4, VIP, whole=True)]


def test_a_range_and_a_set() -> None:
    ranges = {"set": [53, {"range": [3000, 12_000]}]}
    assert [each.wanted for each in found(rule(4, port(ranges), {"reject": {}}))] == [VIP, PORTS]


def test_other_ports_and_protocols_are_no_matter() -> None:
    assert not found(rule(4, port(53), DROP), rule(5, port(3478, "tcp"), DROP))
    assert not found(rule(4, port({"range": [3000, 40_000]}, op="!="), DROP))


def test_some_senders_alone() -> None:
    (some,) = found(rule(4, SOURCE, port(3478), DROP))
    assert not some.whole


def test_what_an_earlier_rule_accepts() -> None:
    rules = rule(4, port({"set": [3478, {"range": [10_000, 29_999]}]}), ACCEPT), rule(5, DROP)
    assert not found(*rules)
    assert len(found(*reversed(rules))) == 2


def test_a_chain_that_is_jumped_to() -> None:
    away = rule(4, port(3478), DROP, chain="other")
    assert not found(away)
    (one,) = found(rule(3, {"jump": {"target": "other"}}), away)
    assert one.chain == "inet host other"
