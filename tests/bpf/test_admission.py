"""Which checks of unknown clients the program lets pass: those that the agent would."""

import os
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relay.core.admission import Admission
from relay.core.rates import RateLimit, Rates
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target, decode, mint

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

SLOWLY = 0.001  # tokens a second: none comes while a test runs
CLIENTS = (
    Endpoint("203.0.113.2", 50_000),
    Endpoint("203.0.113.3", 50_000),
    Endpoint("2001:db8:1::2", 50_000),
    Endpoint("2001:db8:1::1:2", 50_000),
    Endpoint("2001:db8:1:1::2", 50_000),
)
CHECKS, UFRAGS = 150, 6


def username(bench: "Bench", number: int) -> tuple[bytes, bytes]:
    """A ufrag's route, and how a client names it."""
    made = mint(
        Target(1, 1, 1),
        bench.keys,
        now=1_800_000_000.0,
        lifetime=3600.0,
        nonce=number.to_bytes(4, "big"),
    )
    return made.raw, f"{made.ufrag}:abcd".encode()


def few(random_bursts: random.Random) -> dict[str, RateLimit]:
    names = "stun_routed", "stun_repeated", "ufrag", "prefix", "network"
    return {name: RateLimit(SLOWLY, random_bursts.randint(0, 40)) for name in names}


@pytest.mark.parametrize("seed", range(6))
def test_the_program_decides_as_the_agent_does(bench: "Bench", seed: int) -> None:
    chosen = random.Random(seed)
    rates = few(chosen)
    bench.limit(**rates)
    prefixes: dict[bytes, int] = {}  # no two share a bucket
    agent = Admission(
        replace(Rates(), **rates), lambda prefix: prefixes.setdefault(prefix, len(prefixes))
    )
    ufrags = [username(bench, number) for number in range(UFRAGS)]
    for number in range(CHECKS):
        client, (raw, name) = chosen.choice(CLIENTS), chosen.choice(ufrags)
        vip = bench.vip6 if ":" in client.host else bench.vip
        counted = bench.run(bench.from_client(bench.request(name), client=client, to=vip)).counted
        refusal = agent.refusal(decode(raw), client.packed, 1000.0)
        assert counted == {refusal or "stun_routed": 1}, f"seed {seed}, check {number}"


@pytest.mark.parametrize("number", [0, 2], ids=["ipv4", "ipv6"])
def test_an_edge_has_the_rate_of_a_large_network_and_a_bucket_of_its_own(
    bench: "Bench", number: int
) -> None:
    bench.limit(prefix=RateLimit(SLOWLY, 1), network=RateLimit(SLOWLY, 3))
    edge, vip = CLIENTS[number], bench.vip6 if number else bench.vip

    def checks(count: int) -> list[str]:
        names = [username(bench, each)[1] for each in range(count)]
        frames = [
            bench.from_client(bench.request(name), client=edge._replace(port=50_000 + port), to=vip)
            for port, name in enumerate(names)
        ]
        return [reason for frame in frames for reason in bench.run(frame).counted]

    assert checks(2) == ["stun_routed", "stun_prefix_limited"]
    bench.dataplane.note_edge(edge)
    assert checks(4) == ["stun_routed"] * 3 + ["stun_prefix_limited"]
    bench.dataplane.note_edge(edge)  # which fills no bucket
    assert checks(1) == ["stun_prefix_limited"]
    bench.dataplane.adopt(frozenset())
    bench.limit(prefix=RateLimit(SLOWLY, 1))
    assert checks(2) == ["stun_routed", "stun_prefix_limited"]


def test_processors_share_what_there_is(bench: "Bench") -> None:
    """As many pass on all processors together as would on one."""
    bench.limit(ufrag=RateLimit(SLOWLY, 50), stun_repeated=RateLimit(SLOWLY, 50))
    frame = bench.from_client(bench.request())
    before = bench.dataplane.counters()

    def flood(processor: int) -> None:
        os.sched_setaffinity(0, {processor})  # of this thread
        for _ in range(200):
            bench.run(frame)

    threads = [threading.Thread(target=flood, args=(each,)) for each in os.sched_getaffinity(0)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    after = bench.dataplane.counters()
    counted = {name: after[name] - before[name] for name in ("stun_routed", "stun_ufrag_limited")}
    assert counted == {"stun_routed": 150, "stun_ufrag_limited": 200 * len(threads) - 150}
