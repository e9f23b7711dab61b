"""What the network stack unwraps first: fragments, and packets with IPv6 extension headers."""

import socket
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from relay.core.rates import RateLimit
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

TWO = RateLimit(rate=1, burst=2)
OTHER_PORT = 53
ETHER = Ether(src="02:00:00:00:01:02", dst="02:00:00:00:01:01")
FIRST, LATER = IPv6ExtHdrFragment(m=1), IPv6ExtHdrFragment(offset=100)
OPTIONS = IPv6ExtHdrDestOpt()


def authentication(size: int) -> Packet:
    return AH(nh=socket.IPPROTO_UDP, payloadlen=(12 + size) // 4 - 2, icv=bytes(size))


CHAINS = [
    (FIRST,),
    (IPv6ExtHdrHopByHop(),),
    (OPTIONS,),
    (IPv6ExtHdrRouting(),),
    (authentication(12),),
    (authentication(32),),
    (IPv6ExtHdrHopByHop(), OPTIONS, IPv6ExtHdrRouting(), FIRST, OPTIONS, authentication(12)),
]


def ip4(bench: "Bench", to: Endpoint, **fields: Any) -> bytes:
    """A first fragment, unless the fields say otherwise."""
    ip = IP(**{"src": bench.client.host, "dst": to.host, "flags": "MF"} | fields)
    return bytes(ETHER / ip / UDP(sport=50000, dport=to.port) / Raw(bytes(64)))


def ip6(bench: "Bench", to: Endpoint, *headers: Packet) -> bytes:
    packet = ETHER / IPv6(src=bench.client6.host, dst=to.host)
    for header in headers:
        packet /= header.copy()
    return bytes(packet / UDP(sport=50000, dport=to.port) / Raw(bytes(64)))


def expect_limited(bench: "Bench", frame: bytes, reason: str, interface: str = "public") -> None:
    bench.limit(wrapped=TWO)
    for _ in range(2):
        assert bench.run(frame, interface) == bench.outcome("pass", frame, reason)
    assert bench.run(frame, interface) == bench.outcome("drop", frame, f"{reason}_limited")


def expect_untouched(bench: "Bench", frame: bytes, reason: str) -> None:
    bench.limit(wrapped=RateLimit(rate=1, burst=1))
    for _ in range(3):
        assert bench.run(frame) == bench.outcome("pass", frame, reason)


def test_first_fragments_to_the_relay_are_limited(bench: "Bench") -> None:
    expect_limited(bench, ip4(bench, bench.vip), "fragment")
    expect_limited(bench, ip4(bench, bench.upstream), "fragment", "internal")
    with_options = ip4(bench, bench.vip, options=[IPOption_NOP()] * 40)
    expect_limited(bench, with_options, "fragment")


def test_those_of_a_confirmed_flow_are_limited_too(bench: "Bench") -> None:
    bench.install()
    expect_limited(bench, ip4(bench, bench.vip), "fragment")


@pytest.mark.parametrize("headers", CHAINS, ids=len)
def test_behind_extension_headers(bench: "Bench", headers: tuple[Packet, ...]) -> None:
    reason = "fragment" if headers[0] is FIRST else "extension_headers"
    expect_limited(bench, ip6(bench, bench.vip6, *headers), reason)
    expect_limited(bench, ip6(bench, bench.upstream6, *headers), reason, "internal")
    expect_untouched(bench, ip6(bench, Endpoint(bench.vip6.host, OTHER_PORT), *headers), reason)


def test_both_kinds_share_one_bucket(bench: "Bench") -> None:
    bench.limit(wrapped=RateLimit(rate=1, burst=1))
    assert bench.run(ip4(bench, bench.vip)).counted == {"fragment": 1}
    limited = bench.run(ip6(bench, bench.vip6, OPTIONS))
    assert limited.counted == {"extension_headers_limited": 1}


@pytest.mark.parametrize(
    "fields", [{"frag": 100}, {"frag": 100, "flags": 0}, {"options": [IPOption_NOP()] * 8}]
)
def test_fragments_that_are_not_the_relays_pass(bench: "Bench", fields: dict[str, Any]) -> None:
    to = bench.vip if "frag" in fields else Endpoint(bench.vip.host, OTHER_PORT)
    expect_untouched(bench, ip4(bench, to, **fields), "fragment")


def test_later_fragments_of_ipv6_pass(bench: "Bench") -> None:
    expect_untouched(bench, ip6(bench, bench.vip6, LATER), "fragment")
    expect_untouched(bench, ip6(bench, bench.vip6, OPTIONS, LATER), "extension_headers")


def test_more_headers_than_there_are_kinds_are_limited_wherever_they_go(bench: "Bench") -> None:
    expect_limited(bench, ip6(bench, bench.client6, *[OPTIONS] * 7), "extension_headers")
    expect_untouched(bench, ip6(bench, bench.client6, *[OPTIONS] * 6), "extension_headers")


def test_what_is_cut_off_is_left_to_the_network_stack(bench: "Bench") -> None:
    chain = ip6(bench, bench.vip6, *CHAINS[-1])
    for frame, reason in ((ip4(bench, bench.vip), "fragment"), (chain, "extension_headers")):
        complete = len(frame) - 64
        bench.limit(wrapped=RateLimit(rate=1, burst=1))
        for size in range(54, complete) if frame is chain else range(34, complete):
            short = frame[:size]
            assert bench.run(short) == bench.outcome("pass", short, reason)
