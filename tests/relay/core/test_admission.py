"""Which checks of unknown clients get to the session table."""

import itertools
from collections import Counter
from dataclasses import replace

from relay.core.admission import Admission
from relay.core.rates import CLOSED, RateLimit, Rates
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint

KEYS = KeyRing({0: bytes(range(32))}, 0)
PLENTY = RateLimit(1_000_000, 1_000_000)
NOW = 1000.0
numbers = itertools.count(1)


def route() -> Route:
    nonce = next(numbers).to_bytes(4, "big")
    return mint(Target(1, 1, 1), KEYS, now=1_800_000_000.0, lifetime=3600.0, nonce=nonce)


def client(host: str, port: int = 40_000) -> bytes:
    return Endpoint(host, port).packed


def admission(**rates: RateLimit) -> Admission:
    unlimited = dict.fromkeys(
        ("stun_routed", "stun_repeated", "ufrag", "prefix", "network"), PLENTY
    )
    return Admission(replace(Rates(), **unlimited | rates))


def test_a_ufrag_has_a_burst_and_then_its_rate() -> None:
    gates = admission(ufrag=RateLimit(10, 3), stun_repeated=CLOSED)
    mine, others = route(), route()
    refused = [gates.refusal(mine, client("192.0.2.1"), NOW) for _ in range(7)]
    assert refused == [None] * 6 + ["stun_ufrag_limited"]
    assert gates.refusal(others, client("192.0.2.1"), NOW) is None
    refused = [gates.refusal(mine, client("192.0.2.2"), NOW + 0.1) for _ in range(3)]
    assert refused == [None, None, "stun_ufrag_limited"]


def test_what_nobody_here_can_verify_has_a_gate_of_its_own() -> None:
    closed = dict.fromkeys(("stun_routed", "stun_repeated", "ufrag", "prefix"), CLOSED)
    gates = admission(**closed, stun_remote=RateLimit(1, 2))
    refused = [gates.refusal_elsewhere(NOW) for _ in range(3)]
    assert refused == [None, None, "stun_remote_limited"]
    assert gates.refusal_elsewhere(NOW + 1) is None


def test_a_ufrag_whose_bucket_another_one_has_emptied_has_one_left() -> None:
    gates = admission(ufrag=RateLimit(1, 1), stun_repeated=CLOSED)
    raw = route().raw
    seen, other = (Route(raw[:13] + tag) for tag in (b"\0\0\0\1\0\0\0\2", b"\0\0\0\1\0\0\0\3"))
    refused = [gates.refusal(seen, client("192.0.2.1"), NOW) for _ in range(3)]
    assert refused == [None, None, "stun_ufrag_limited"]
    refused = [gates.refusal(other, client("192.0.2.1"), NOW) for _ in range(2)]
    assert refused == [None, "stun_ufrag_limited"]


def test_what_is_repeated_has_a_share_that_takes_from_nobody_else() -> None:
    two = RateLimit(1, 2)
    three = RateLimit(1, 3)
    gates = admission(ufrag=RateLimit(1, 1), stun_repeated=two, prefix=three, stun_routed=three)
    seen = route()
    refused = [gates.refusal(seen, client("192.0.2.1"), NOW) for _ in range(6)]
    assert refused == [None] * 4 + ["stun_ufrag_limited"] * 2
    # Two of the four were its own: of the prefix and of all, one is left.
    assert gates.refusal(route(), client("192.0.2.1"), NOW) is None
    assert gates.refusal(route(), client("192.0.2.1"), NOW) == "stun_prefix_limited"


def test_a_prefix_is_an_ip4_address_or_a_64() -> None:
    gates = admission(prefix=RateLimit(1, 1))
    tries = {
        "192.0.2.1": None,
        "192.0.2.2": None,
        "192.0.2.1 ": "stun_prefix_limited",
        "2001:db8:0:1::1": None,
        "2001:db8:0:1:ffff::2": "stun_prefix_limited",
        "2001:db8:0:2::1": None,
    }
    found = {
        host: gates.refusal(route(), client(host.strip(), next(numbers)), NOW) for host in tries
    }
    assert found == tries


def test_a_network_is_a_48_which_ip4_has_not() -> None:
    gates = admission(network=RateLimit(1, 1))
    tries = {
        "192.0.2.1": None,
        "192.0.2.2": None,
        "2001:db8:0:1::1": None,
        "2001:db8:0:2::1": "stun_prefix_limited",
        "2001:db8:1:1::1": None,
    }
    assert {host: gates.refusal(route(), client(host), NOW) for host in tries} == tries


def test_all_together_have_a_rate() -> None:
    gates = admission(stun_routed=RateLimit(1, 2))
    refused = [gates.refusal(route(), client(f"192.0.2.{number}"), NOW) for number in range(3)]
    assert refused == [None, None, "stun_routed_limited"]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    gates = admission(stun_routed=RateLimit(10, 1))
    assert gates.refusal(route(), client("192.0.2.1"), NOW) is None
    assert gates.refusal(route(), client("192.0.2.2"), 0.0) == "stun_routed_limited"


def test_honest_clients_pass_while_a_ufrag_is_repeated_from_everywhere() -> None:
    """A second of 100,000 copies, and of 500 people behind one address who place calls."""
    gates = Admission(Rates())
    seen, counted = route(), Counter[str | None]()
    for moment in range(500):
        now = NOW + moment / 500
        for _ in range(200):
            source = Endpoint.unpack(client("198.51.100.1")[:12] + next(numbers).to_bytes(6, "big"))
            counted[gates.refusal(seen, source.packed, now)] += 1
        assert gates.refusal(route(), client("203.0.113.1", moment + 1), now) is None
    assert counted.keys() == {None, "stun_ufrag_limited"}
    ufrag, repeated = Rates().ufrag, Rates().stun_repeated
    most = 2 * (ufrag.rate + ufrag.burst) + repeated.rate + repeated.burst
    assert most - 5 <= counted[None] <= most
