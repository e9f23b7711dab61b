"""Following a client's packets through the program: what is told of each; all go on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from relay.core.rates import RateLimit
from relay.dataplane.kernel import bpfsys, tracing
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.tracing import Trace
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RTP = bytes([0x80, 111]) + bytes(range(170))
ANY = 0  # port
PLENTY = RateLimit(rate=1_000_000, burst=1_000_000)


@contextmanager
def traced(bench: "Bench", client: Endpoint, rate: RateLimit = PLENTY) -> Iterator[Trace]:
    """The packets of a client, which are followed."""
    pins = Pins(bench.instance)
    with Trace(pins, client, rate) as trace, bpfsys.pinned(pins.link("public")) as link:
        running = bpfsys.program_by_id(bpfsys.link_info(link).program_id)
        with bench.running(running):
            yield trace


def test_both_directions_of_a_flow(bench: "Bench") -> None:
    bench.install()
    there, back = bench.from_client(RTP), bench.from_transceiver(RTP)
    with traced(bench, bench.client) as trace:
        assert bench.run(there) == bench.outcome(
            "redirect", bench.to_transceiver(RTP), "forwarded_to_transceiver"
        )
        assert bench.run(back, "internal") == bench.outcome(
            "redirect", bench.to_client(RTP), "forwarded_to_client"
        )
        one, other = trace.records()
        assert trace.counts() == {
            ("forward", "forwarded_to_transceiver"): 1,
            ("forward", "forwarded_to_client"): 1,
        }
    assert one._replace(time=0.0) == (
        *(0.0, bench.client, False, "forward", "forwarded_to_transceiver"),
        *(len(there), there[:126]),
    )
    assert other._replace(time=0.0) == (
        *(0.0, bench.client, True, "forward", "forwarded_to_client"),
        *(len(back), back[:126]),
    )
    assert 0 < one.time < other.time


def test_both_directions_by_ipv6(bench: "Bench") -> None:
    bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
    with traced(bench, bench.client6) as trace:
        bench.run(bench.from_client(RTP, client=bench.client6, to=bench.vip6))
        bench.run(
            bench.from_transceiver(RTP, transceiver=bench.transceiver6, to=bench.upstream6),
            "internal",
        )
        told = [(each.client, each.to_client, each.reason) for each in trace.records()]
    assert told == [
        (bench.client6, False, "forwarded_to_transceiver"),
        (bench.client6, True, "forwarded_to_client"),
    ]


def test_verdicts_of_every_program(bench: "Bench") -> None:
    """What triage, requests and forwarding decide is known where the first program ends."""
    with traced(bench, bench.client) as trace:
        bench.run(bench.from_client(bench.request()))  # passes up
        bench.run(bench.from_client(bench.request(b"without a route")))
        bench.run(bench.from_client(b"\x50 nothing"))
        bench.run(bench.from_client(RTP))
        bench.install()
        bench.run(bench.from_client(bench.request()))
        told = [(each.verdict, each.reason) for each in trace.records()]
    assert told == [
        ("pass", "stun_routed"),
        ("drop", "stun_no_route"),
        ("drop", "not_webrtc"),
        ("pass", "unknown_client"),
        ("forward", "forwarded_to_transceiver"),
    ]


def test_of_others_nothing_is_told(bench: "Bench") -> None:
    bench.install(bench.without_neighbour)  # another client's flow
    with traced(bench, bench.client) as trace:
        bench.run(bench.from_client(RTP, client=bench.without_neighbour))
        bench.run(bench.from_transceiver(RTP), "internal")
        bench.run(bytes(Ether() / IPv6() / UDP() / Raw(RTP)))
        bench.run(bytes(Ether(type=0x1234) / Raw(bytes(60))))
        assert trace.records() == []
        assert trace.counts() == {}


@pytest.mark.parametrize(("port", "told"), [(ANY, 2), (50000, 1), (50001, 1), (50002, 0)])
def test_a_port_is_one_of_many(bench: "Bench", port: int, told: int) -> None:
    with traced(bench, Endpoint(bench.client.host, port)) as trace:
        for number in (50000, 50001):
            bench.run(bench.from_client(RTP, client=Endpoint(bench.client.host, number)))
        assert len(trace.records()) == told


def test_wrapped_packets_of_the_client(bench: "Bench") -> None:
    """Tags, options and extension headers hide a client from nobody; nor do fragments."""
    plain = Ether(bench.from_client(RTP))
    head, packet = Ether(src=plain.src, dst=plain.dst), plain.payload
    optional = packet.copy()
    optional.options, optional.ihl, optional.len, optional.chksum = b"\x01" * 40, None, None, None
    frames = [
        *(head / Dot1Q(vlan=4) / packet, head / Dot1Q(vlan=4) / Dot1Q(vlan=5) / packet),
        *(head / optional, *(head / part for part in packet.fragment(96))),
    ]
    with traced(bench, bench.client) as trace:
        for frame in frames:
            bench.run(bytes(frame))
        told = [(each.client.port, each.reason) for each in trace.records()]
    assert told == [
        (50000, "vlan_unknown"),
        (50000, "vlan_stacked"),
        (50000, "unknown_client"),
        (50000, "fragment"),
        (0, "fragment"),
    ]


def test_extension_headers(bench: "Bench") -> None:
    packet = (
        IPv6(src=bench.client6.host, dst=bench.vip6.host)
        / IPv6ExtHdrDestOpt()
        / UDP(sport=50000, dport=3478)
        / Raw(RTP)
    )
    with traced(bench, bench.client6) as trace:
        bench.run(bytes(Ether(dst="02:00:00:00:01:01") / packet))
        (told,) = trace.records()
    assert (told.client, told.reason) == (Endpoint(bench.client6.host, 0), "extension_headers")


@pytest.mark.parametrize("length", [14, 20, 34, 38, 42, 43])
def test_what_a_short_frame_lacks_is_not_of_the_one_before(bench: "Bench", length: int) -> None:
    frame = bench.from_client(RTP)
    with traced(bench, bench.client) as trace:
        bench.run(frame)
        bench.run(frame[:length])
        _, *short = trace.records()
    assert [each.frame for each in short] == ([frame[:length]] if length >= 34 else [])


def test_beyond_the_rate_packets_are_counted(bench: "Bench") -> None:
    with traced(bench, bench.client, RateLimit(rate=1, burst=3)) as trace:
        for _ in range(10):
            bench.run(bench.from_client(RTP))
        assert len(trace.records()) == 3
        assert trace.missed() == (7, 0)
        assert trace.counts() == {("pass", "unknown_client"): 10}


def test_what_nobody_reads_is_counted(bench: "Bench") -> None:
    room = 2048
    with traced(bench, bench.client) as trace:
        for number in range(room + 5):
            if not number % 10:
                trace.follow()  # it takes some seconds, or minutes where all is emulated
            bench.run(bench.from_client(RTP))
        assert len(trace.records()) == room
        assert trace.missed() == (0, 5)


def test_when_nobody_renews_its_lease_it_tells_nothing_and_forwards(bench: "Bench") -> None:
    bench.install()
    with traced(bench, bench.client) as trace:
        trace.follow()
        time.sleep(tracing.LEASE + 0.1)  # the clock is the kernel's
        assert bench.run(bench.from_client(RTP)) == bench.outcome(
            "redirect", bench.to_transceiver(RTP), "forwarded_to_transceiver"
        )
        assert trace.records() == []
        trace.follow()
        bench.run(bench.from_client(RTP))
        assert len(trace.records()) == 1
