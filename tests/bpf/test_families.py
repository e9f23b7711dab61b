"""All four combinations of families, both ways: verdict, bytes and counters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from relay.core.flowtuple import FlowTuple
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RTP = bytes([0x80, 111]) + bytes(range(171))
PAIRS = ["4-4", "6-6", "6-4", "4-6"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A flow between families, and the frames of both its sides."""

    bench: "Bench"
    flow: FlowTuple

    def from_client(self, payload: bytes, **fields: Any) -> bytes:
        return self.bench.from_client(payload, client=self.flow.client, to=self.flow.vip, **fields)

    def to_transceiver(self, payload: bytes, **fields: Any) -> bytes:
        fields = self._translated(fields, self.flow.transceiver.host)
        return self.bench.to_transceiver(
            payload, upstream=self.flow.upstream, to=self.flow.transceiver, **fields
        )

    def from_transceiver(self, payload: bytes, **fields: Any) -> bytes:
        return self.bench.from_transceiver(
            payload, transceiver=self.flow.transceiver, to=self.flow.upstream, **fields
        )

    def to_client(self, payload: bytes, **fields: Any) -> bytes:
        fields = self._translated(fields, self.flow.client.host)
        return self.bench.to_client(payload, vip=self.flow.vip, client=self.flow.client, **fields)

    def _translated(self, fields: dict[str, Any], host: str) -> dict[str, Any]:
        """A new IPv4 header is that of a packet that must not be fragmented."""
        translated = self.flow.client.family != self.flow.transceiver.family
        return {"flags": "DF", "id": 0} | fields if translated and ":" not in host else fields


@pytest.fixture(params=PAIRS)
def pair(bench: "Bench", request: pytest.FixtureRequest) -> Pair:
    client, transceiver = request.param.split("-")
    public = (bench.client6, bench.vip6) if client == "6" else (bench.client, bench.vip)
    internal = (
        (bench.upstream6, bench.transceiver6)
        if transceiver == "6"
        else (bench.upstream, bench.transceiver)
    )
    return Pair(bench, bench.install(*public, *internal))


@pytest.mark.parametrize("payload", [RTP, b"", b"\x80", bytes(1400), b"\x16\xfe\xfd"])
def test_to_the_transceiver(pair: Pair, payload: bytes) -> None:
    assert pair.bench.run(pair.from_client(payload)) == pair.bench.outcome(
        "redirect", pair.to_transceiver(payload), "forwarded_to_transceiver"
    )


@pytest.mark.parametrize("payload", [RTP, b"", b"@", bytes(1400)])
def test_to_the_client(pair: Pair, payload: bytes) -> None:
    assert pair.bench.run(pair.from_transceiver(payload), "internal") == pair.bench.outcome(
        "redirect", pair.to_client(payload), "forwarded_to_client"
    )


@pytest.mark.parametrize("tos", [0xB8, 0xB9, 0xBB, 0x03, 0xFF])
def test_dscp_and_ecn_are_carried_over(pair: Pair, tos: int) -> None:
    assert pair.bench.run(pair.from_client(RTP, tos=tos)).frame == pair.to_transceiver(RTP, tos=tos)
    back = pair.bench.run(pair.from_transceiver(RTP, tos=tos), "internal")
    assert back.frame == pair.to_client(RTP, tos=tos)


@pytest.mark.parametrize("ttl", [2, 255])
def test_the_hop_limit_is_one_less(pair: Pair, ttl: int) -> None:
    done = pair.bench.run(pair.from_client(RTP, ttl=ttl))
    assert done.frame == pair.to_transceiver(RTP, ttl=ttl - 1)


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_spent_hop_limit_ends_here(pair: Pair, ttl: int) -> None:
    frame = pair.from_client(RTP, ttl=ttl)
    assert pair.bench.run(frame) == pair.bench.outcome("drop", frame, "ttl_expired")


def test_policy_routing_by_dscp_applies(pair: Pair) -> None:
    for tos, verdict in ((pair.bench.policy_tos, "no_route"), (0, "forwarded_to_transceiver")):
        for ecn in (0, 1, 2, 3):
            done = pair.bench.run(pair.from_client(RTP, tos=tos | ecn))
            assert done.counted == {verdict: 1}


def test_it_counts_payload(pair: Pair) -> None:
    pair.bench.run(pair.from_client(RTP))
    pair.bench.run(pair.from_transceiver(RTP[:50]), "internal")
    (record,) = pair.bench.dataplane.flows()
    assert record.flow == pair.flow
    assert (record.to_transceiver.packets, record.to_transceiver.bytes) == (1, len(RTP))
    assert (record.to_client.packets, record.to_client.bytes) == (1, 50)


def test_a_wrong_checksum_is_not_repaired(pair: Pair) -> None:
    for damage in (1, 0x8000):
        frame, whole = pair.from_client(RTP), pair.to_transceiver(RTP)
        damaged = bytearray(frame)
        damaged[-1] ^= damage & 0xFF
        damaged[-2] ^= damage >> 8
        expected = whole[:-2] + bytes(damaged[-2:])
        assert pair.bench.run(bytes(damaged)).frame == expected


def test_a_checksum_that_comes_out_as_zero_is_sent_as_ones(pair: Pair) -> None:
    headers = pair.to_transceiver(RTP[:2] + b"\0\0")
    checksum = headers[-len(RTP[:4]) - 2 : -len(RTP[:4])]
    payload = RTP[:2] + checksum
    done = pair.bench.run(pair.from_client(payload))
    assert done.frame[-6:-4] == b"\xff\xff"
    assert done.frame == pair.to_transceiver(payload)


def test_padding_stays_behind_the_packet(pair: Pair) -> None:
    done = pair.bench.run(pair.from_client(b"\x80") + bytes(11))
    assert done.frame == pair.to_transceiver(b"\x80") + bytes(11)


def test_requests_for_another_target_go_up(pair: Pair) -> None:
    request = pair.bench.request(f"{pair.bench.route(generation=1).ufrag}:x".encode())
    frame = pair.from_client(request)
    assert pair.bench.run(frame) == pair.bench.outcome("pass", frame, "stun_other_route")


def test_after_removal_it_is_unknown(pair: Pair) -> None:
    pair.bench.dataplane.remove(pair.flow)
    assert pair.bench.run(pair.from_client(RTP)).counted == {"unknown_client": 1}
    back = pair.bench.run(pair.from_transceiver(RTP), "internal")
    assert back.counted == {"unknown_transceiver": 1}


def test_the_flow_label_stays_within_ipv6(bench: "Bench") -> None:
    bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
    frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6, fl=0xABCDE, tos=0x2E)
    assert bench.run(frame).frame == bench.to_transceiver(
        RTP, upstream=bench.upstream6, to=bench.transceiver6, fl=0xABCDE, tos=0x2E
    )


def test_without_a_checksum_ipv4_cannot_become_ipv6(bench: "Bench") -> None:
    bench.install(bench.client, bench.vip, bench.upstream6, bench.transceiver6)
    frame = bench.from_client(RTP, udp_chksum=0)
    assert bench.run(frame) == bench.outcome("pass", frame, "needs_checksum")


class TestIpv6:
    """What only IPv6 has."""

    def test_a_missing_checksum_is_illegal(self, bench: "Bench") -> None:
        frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6, udp_chksum=0)
        assert bench.run(frame) == bench.outcome("drop", frame, "zero_checksum")
        bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
        assert bench.run(frame) == bench.outcome("drop", frame, "zero_checksum")

    def test_a_length_of_nothing_is_illegal(self, bench: "Bench") -> None:
        """Linux delivers it, up to the packet's end (RFC 2675, section 4)."""
        frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6, udp_len=0)
        assert bench.run(frame) == bench.outcome("drop", frame, "zero_length")
        bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
        assert bench.run(frame) == bench.outcome("drop", frame, "zero_length")

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            (IPv6ExtHdrHopByHop(), "extension_headers"),
            (IPv6ExtHdrDestOpt(), "extension_headers"),
            (IPv6ExtHdrRouting(), "extension_headers"),
            (IPv6ExtHdrFragment(m=1), "fragment"),
        ],
    )
    def test_extension_headers_go_up(self, bench: "Bench", header: Packet, reason: str) -> None:
        bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
        plain = Ether(bench.from_client(RTP, client=bench.client6, to=bench.vip6))
        ip = IPv6(src=bench.client6.host, dst=bench.vip6.host)
        frame = bytes(Ether(src=plain.src, dst=plain.dst) / ip / header / plain[UDP])
        assert bench.run(frame) == bench.outcome("pass", frame, reason)

    def test_other_services_are_untouched(self, bench: "Bench") -> None:
        ether = Ether(src="02:00:00:00:01:02", dst="02:00:00:00:01:01")
        ip = IPv6(src=bench.client6.host, dst=bench.vip6.host)
        for packet, reason in (
            (ether / ip / ICMPv6EchoRequest(), "not_udp"),
            (ether / ip / UDP(sport=53, dport=40000) / Raw(b"\0\x01 DNS"), "not_ours"),
            (ether / ip / UDP(dport=53, chksum=0) / Raw(b"tunnel"), "not_ours"),
        ):
            frame = bytes(packet)
            assert bench.run(frame) == bench.outcome("pass", frame, reason)

    def test_what_is_cut_off_is_left_to_the_network_stack(self, bench: "Bench") -> None:
        bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
        frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6)
        for size in range(14, len(frame)):
            assert bench.run(frame[:size]) == bench.outcome("pass", frame[:size], "malformed")

    @pytest.mark.parametrize("fields", [{"version": 4}, {"len": 7}, {"len": 0}, {"udp_len": 200}])
    def test_headers_that_contradict_each_other(
        self, bench: "Bench", fields: dict[str, Any]
    ) -> None:
        bench.install(bench.client6, bench.vip6, bench.upstream6, bench.transceiver6)
        frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6, **fields)
        assert bench.run(frame) == bench.outcome("pass", frame, "malformed")

    @pytest.mark.parametrize("mapped", ["client", "vip"])
    def test_mapped_addresses_do_not_pass_for_ipv4(self, bench: "Bench", mapped: str) -> None:
        flow = bench.install(bench.client, bench.vip, bench.upstream6, bench.transceiver6)
        client, vip = (Endpoint(f"::ffff:{end.host}", end.port) for end in (flow.client, flow.vip))
        frame = bench.from_client(
            RTP,
            client=client if mapped == "client" else bench.client6,
            to=vip if mapped == "vip" else bench.vip6,
        )
        assert bench.run(frame) == bench.outcome("pass", frame, "malformed")

    def test_requests_of_unknown_clients_are_judged_the_same(self, bench: "Bench") -> None:
        for payload, verdict, reason in (
            (bench.request(), "pass", "stun_routed"),
            (bench.request(b"A" * 28 + b":x"), "drop", "stun_unknown_key"),
            (RTP, "pass", "unknown_client"),
            (b"GET /", "drop", "not_webrtc"),
        ):
            frame = bench.from_client(payload, client=bench.client6, to=bench.vip6)
            assert bench.run(frame) == bench.outcome(verdict, frame, reason)
