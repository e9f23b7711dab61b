"""What the BPF program does with each kind of packet: verdict, bytes and counters.

The expected bytes are built by scapy with checksums of its own, from nothing that the program uses.
"""

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from relay.core.flowtuple import Source
from relay.core.rates import RateLimit
from relay.wire.announcement import announce
from relay.wire.endpoint import Endpoint
from tests.relay.wire.verdict import ELSEWHERE

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RTP = bytes([0x80, 111]) + bytes(range(170))
DTLS = bytes([22, 254, 253]) + bytes(64)
NONE = RateLimit(rate=1, burst=0)
TWO = RateLimit(rate=1, burst=2)
SEEN_WITHIN = 0.64  # seconds: 2^SEEN_TICK_SHIFT ticks of the slowest kernels


class TestConfirmedFlow:
    """Both directions are rewritten and leave."""

    @pytest.mark.parametrize("payload", [RTP, DTLS, b"", b"\x80", bytes(1400), b"\x00\x01\x00"])
    def test_to_the_transceiver(self, bench: "Bench", payload: bytes) -> None:
        bench.install()
        assert bench.run(bench.from_client(payload)) == bench.outcome(
            "redirect", bench.to_transceiver(payload), "forwarded_to_transceiver"
        )

    @pytest.mark.parametrize("payload", [RTP, DTLS, b"", b"@", bytes(1400)])
    def test_to_the_client(self, bench: "Bench", payload: bytes) -> None:
        bench.install()
        assert bench.run(bench.from_transceiver(payload), "internal") == bench.outcome(
            "redirect", bench.to_client(payload), "forwarded_to_client"
        )

    def test_a_vip_may_have_an_upstream_address(self, bench: "Bench") -> None:
        vip = bench.shared_vip
        bench.install(vip=vip)
        for _ in ("by the FIB", "by the next hop that it gave"):
            assert bench.run(bench.from_client(RTP, to=vip)) == bench.outcome(
                "redirect", bench.to_transceiver(RTP), "forwarded_to_transceiver"
            )
            assert bench.run(bench.from_transceiver(RTP), "internal") == bench.outcome(
                "redirect", bench.to_client(RTP, vip=vip), "forwarded_to_client"
            )

    def test_with_one_interface_it_leaves_where_it_came_in(self, bench: "Bench") -> None:
        bench.install(transceiver=bench.public_transceiver)
        done = bench.run(bench.from_client(RTP))
        assert (done.verdict, done.counted) == ("tx", {"forwarded_to_transceiver": 1})
        assert IP(done.frame[14:]).dst == bench.public_transceiver.host

    def test_through_a_veth_it_is_redirected_back(self, bench: "Bench") -> None:
        bench.write_ingresses(redirects=True)
        try:
            bench.install(transceiver=bench.public_transceiver)
            for _ in ("by the FIB", "by the next hop that it gave"):
                assert bench.run(bench.from_client(RTP)).verdict == "redirect"
        finally:
            bench.write_ingresses()

    def test_what_is_known_of_an_interface_is_found_beside_others_of_its_slot(
        self, bench: "Bench"
    ) -> None:
        bench.write_ingresses(alike=2)
        try:
            bench.install()
            lie = bench.run(bench.macs["public"] + bench.from_transceiver(RTP)[6:])
            strange = bench.run(bytes.fromhex("020000000099") + bench.from_client(RTP)[6:])
            assert (lie.verdict, lie.counted) == ("drop", {"wrong_side": 1})
            assert (strange.verdict, strange.counted) == ("pass", {"other_host": 1})
        finally:
            bench.write_ingresses()

    def test_it_counts_payload_and_time(self, bench: "Bench") -> None:
        bench.install()
        for _ in range(3):
            bench.run(bench.from_client(RTP))
        bench.run(bench.from_transceiver(DTLS), "internal")
        (record,) = bench.dataplane.flows()
        assert (record.to_transceiver.packets, record.to_transceiver.bytes) == (3, 3 * len(RTP))
        assert (record.to_client.packets, record.to_client.bytes) == (1, len(DTLS))
        assert 0 < record.to_transceiver.last_seen <= record.to_client.last_seen

    def test_the_time_of_the_last_packet_moves_on(self, bench: "Bench") -> None:
        bench.install()

        def last_seen() -> float:
            bench.run(bench.from_client(RTP))
            (record,) = bench.dataplane.flows()
            return record.to_transceiver.last_seen

        before, first, after = time.monotonic(), last_seen(), time.monotonic()
        assert before - SEEN_WITHIN < first <= after
        while (later := last_seen()) == first:
            assert time.monotonic() < after + 2 * SEEN_WITHIN
        assert first < later <= time.monotonic()

    @pytest.mark.parametrize("tos", [0xB8, 0xB9, 0xBB, 0x03])
    def test_dscp_and_ecn_stay(self, bench: "Bench", tos: int) -> None:
        bench.install()
        assert bench.run(bench.from_client(RTP, tos=tos)) == bench.outcome(
            "redirect", bench.to_transceiver(RTP, tos=tos), "forwarded_to_transceiver"
        )

    @pytest.mark.parametrize("ttl", [2, 64, 255])
    def test_the_ttl_is_one_less(self, bench: "Bench", ttl: int) -> None:
        bench.install()
        assert bench.run(bench.from_client(RTP, ttl=ttl)) == bench.outcome(
            "redirect", bench.to_transceiver(RTP, ttl=ttl - 1), "forwarded_to_transceiver"
        )

    def test_a_missing_checksum_stays_missing(self, bench: "Bench") -> None:
        bench.install()
        assert bench.run(bench.from_client(RTP, udp_chksum=0)) == bench.outcome(
            "redirect", bench.to_transceiver(RTP, udp_chksum=0), "forwarded_to_transceiver"
        )

    def test_a_checksum_that_comes_out_as_zero_is_sent_as_ones(self, bench: "Bench") -> None:
        bench.install()
        # 16 bits of payload are chosen so that the forwarded packet's checksum is 0.
        checksum = UDP(bench.to_transceiver(RTP[:2] + b"\0\0")[34:]).chksum
        payload = RTP[:2] + checksum.to_bytes(2, "big")
        done = bench.run(bench.from_client(payload))
        assert done.frame[40:42] == b"\xff\xff"
        assert done.frame == bench.to_transceiver(payload)

    def test_a_wrong_udp_checksum_is_not_repaired(self, bench: "Bench") -> None:
        bench.install()
        frame = bytearray(bench.from_client(RTP))
        frame[60] ^= 0x40  # damaged on its way
        damaged = bytearray(bench.to_transceiver(RTP))
        damaged[60] ^= 0x40
        assert bench.run(bytes(frame)).frame == bytes(damaged)

    def test_a_wrong_header_checksum_is_not_repaired(self, bench: "Bench") -> None:
        bench.install()
        done = bench.run(bench.from_client(RTP, chksum=0x1234))
        sent = IP(done.frame[14:])
        del sent.chksum
        assert IP(done.frame[14:]).chksum != IP(bytes(sent)).chksum

    def test_padding_of_a_short_frame_is_no_payload(self, bench: "Bench") -> None:
        bench.install()
        done = bench.run(bench.from_client(b"\x80") + bytes(17))
        assert done.frame == bench.to_transceiver(b"\x80") + bytes(17)
        (record,) = bench.dataplane.flows()
        assert record.to_transceiver.bytes == 1

    def test_another_port_is_another_client(self, bench: "Bench") -> None:
        bench.install()
        other = Endpoint(bench.client.host, bench.client.port + 1)
        done = bench.run(bench.from_client(RTP, client=other))
        assert done.counted == {"unknown_client": 1}

    def test_stun_of_the_flow_is_forwarded(self, bench: "Bench") -> None:
        bench.install()
        request = bench.request()
        assert bench.run(bench.from_client(request)) == bench.outcome(
            "redirect", bench.to_transceiver(request), "forwarded_to_transceiver"
        )

    @pytest.mark.parametrize("change", [{"cluster": 1, "slot": 8}, {"generation": 10}])
    def test_a_request_for_another_target_goes_up(
        self, bench: "Bench", change: dict[str, int]
    ) -> None:
        bench.install()
        frame = bench.from_client(bench.request(f"{bench.route(**change).ufrag}:x".encode()))
        assert bench.run(frame) == bench.outcome("pass", frame, "stun_other_route")

    def test_a_forged_request_for_another_target_is_dropped(self, bench: "Bench") -> None:
        bench.install()
        ufrag = bench.route(generation=10).ufrag
        frame = bench.from_client(bench.request(f"{ufrag[:-1]}{'AB'[ufrag[-1] == 'A']}:x".encode()))
        assert bench.run(frame) == bench.outcome("drop", frame, "stun_forged")

    def test_a_request_without_a_route_follows_the_flow(self, bench: "Bench") -> None:
        bench.install()
        request = bench.request(b"somebody:else")
        assert bench.run(bench.from_client(request)).frame == bench.to_transceiver(request)

    def test_after_removal_it_is_unknown(self, bench: "Bench") -> None:
        bench.dataplane.remove(bench.install())
        frame = bench.from_transceiver(RTP)
        assert bench.run(frame, "internal") == bench.outcome("pass", frame, "unknown_transceiver")


class TestHandedUp:
    """A confirmed flow's packets that the program leaves to the agent arrive there unmodified."""

    def test_ip_options(self, bench: "Bench") -> None:
        bench.install()
        frame = bench.from_client(RTP, options=[IPOption_NOP()])
        assert bench.run(frame) == bench.outcome("pass", frame, "ip_options")

    @pytest.mark.parametrize(
        ("client", "reason"),
        [
            ("without_neighbour", "no_neighbour"),
            ("blackholed", "no_route"),
            ("elsewhere", "foreign_interface"),
        ],
    )
    def test_no_way_to_the_next_hop(self, bench: "Bench", client: str, reason: str) -> None:
        bench.install(client=getattr(bench, client))
        frame = bench.from_transceiver(RTP)
        assert bench.run(frame, "internal") == bench.outcome("pass", frame, reason)

    @pytest.mark.parametrize(
        ("rule", "honoured"),
        [
            ("from 203.0.113.10", True),
            ("to 203.0.113.2", True),
            ("sport 3478", True),
            ("dport 50000", True),
            ("ipproto 17", True),
            ("uidrange 0-0", True),
            ("sport 3479", False),
            ("ipproto 6", False),  # in numbers: the names are in a package
            ("iif public", False),  # the relay is the sender, whatever came in there
            ("fwmark 1", False),
        ],
    )
    def test_rules_for_routes_hold_as_for_a_local_socket(
        self, bench: "Bench", rule: str, honoured: bool
    ) -> None:
        bench.install()
        change = "rule {} priority 50 blackhole " + rule
        frame = bench.from_transceiver(RTP)
        subprocess.run(bench.host.command(["ip", *change.format("add").split()]), check=True)
        try:
            done = bench.run(frame, "internal")
        finally:
            subprocess.run(bench.host.command(["ip", *change.format("del").split()]), check=True)
        if honoured:
            assert done == bench.outcome("pass", frame, "no_route")
        else:
            assert done.frame == bench.to_client(RTP)

    def test_over_the_mtu(self, bench: "Bench") -> None:
        bench.install(client=bench.small_mtu)
        fits = bytes(bench.mtu - 28)
        assert bench.run(bench.from_transceiver(fits), "internal").frame == bench.to_client(
            fits, client=bench.small_mtu
        )
        frame = bench.from_transceiver(fits + b"x")
        assert bench.run(frame, "internal") == bench.outcome("pass", frame, "too_big")

    @pytest.mark.parametrize("fields", [{"flags": "MF"}, {"frag": 10}])
    def test_fragments(self, bench: "Bench", fields: dict[str, Any]) -> None:
        bench.install()
        frame = bench.from_client(RTP, **fields)
        assert bench.run(frame) == bench.outcome("pass", frame, "fragment")

    def test_the_first_buffer_of_a_frame_that_needs_several(self, bench: "Bench") -> None:
        bench.install()
        done = bench.run(bench.from_client(RTP + bytes(8000)))
        assert (done.verdict, done.counted) == ("pass", {"many_buffers": 1})


class TestNeverPassed:
    """What ends here, whether there is a flow or not: the agent would send it anew, or in vain."""

    @pytest.mark.parametrize("confirmed", [True, False])
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [({"ttl": 0}, "ttl_expired"), ({"ttl": 1}, "ttl_expired"), ({"udp_sport": 0}, "zero_port")],
    )
    def test_from_either_side(
        self, bench: "Bench", fields: dict[str, Any], reason: str, *, confirmed: bool
    ) -> None:
        if confirmed:
            bench.install()
        for interface, frame in (
            ("public", bench.from_client(bench.request(), **fields)),
            ("internal", bench.from_transceiver(bench.request(), **fields)),
        ):
            assert bench.run(frame, interface) == bench.outcome("drop", frame, reason)


class TestUnknownClient:
    """What comes to the VIP from elsewhere."""

    def test_a_request_with_a_valid_route_goes_up(self, bench: "Bench") -> None:
        frame = bench.from_client(bench.request())
        assert bench.run(frame) == bench.outcome("pass", frame, "stun_routed")

    def test_also_with_ip_options(self, bench: "Bench") -> None:
        frame = bench.from_client(bench.request(), options=[IPOption_NOP()] * 3)
        assert bench.run(frame) == bench.outcome("pass", frame, "stun_routed")

    def test_valid_requests_are_limited(self, bench: "Bench") -> None:
        bench.limit(stun_routed=TWO)
        reasons = [bench.run(bench.from_client(bench.request())).counted for _ in range(3)]
        assert reasons == [{"stun_routed": 1}] * 2 + [{"stun_routed_limited": 1}]

    def test_a_request_for_a_cluster_elsewhere_goes_up_whoever_signed_it(
        self, bench: "Bench"
    ) -> None:
        bench.limit(stun_remote=TWO, stun_routed=NONE)  # it takes nobody else's share
        frame = bench.from_client(
            bench.request(f"{bench.route(cluster=ELSEWHERE).ufrag}:abcd".encode())
        )
        for _ in range(2):
            assert bench.run(frame) == bench.outcome("pass", frame, "stun_remote")
        assert bench.run(frame) == bench.outcome("drop", frame, "stun_remote_limited")

    def test_also_on_a_confirmed_flow(self, bench: "Bench") -> None:
        bench.install()
        frame = bench.from_client(
            bench.request(f"{bench.route(cluster=ELSEWHERE).ufrag}:a".encode())
        )
        assert bench.run(frame) == bench.outcome("pass", frame, "stun_remote")

    @pytest.mark.parametrize("confirmed", [False, True])
    def test_what_an_edge_announces_goes_up_if_its_route_is_valid(
        self, bench: "Bench", *, confirmed: bool
    ) -> None:
        if confirmed:
            bench.install()
        said = announce(bytes(54), bench.route(), 1.8e9, bench.keys)
        frame = bench.from_client(said)
        assert bench.run(frame) == bench.outcome("pass", frame, "edge_announced")
        bench.limit(stun_routed=NONE)
        assert bench.run(frame) == bench.outcome("drop", frame, "stun_routed_limited")
        bench.limit(ufrag=NONE, stun_repeated=NONE)
        assert bench.run(frame) == bench.outcome("drop", frame, "stun_ufrag_limited")

    @pytest.mark.parametrize(
        ("at", "bits", "reason"),
        [
            (0, 0x01, "not_webrtc"),
            (68, 0x40, "not_webrtc"),
            (68, 0x38, "stun_unknown_key"),
            (80, 0x01, "stun_forged"),
            (97, 0x01, "not_webrtc"),
        ],
        ids=["first-byte", "version", "key-slot", "nonce", "longer"],
    )
    def test_what_only_looks_like_that_is_dropped(
        self, bench: "Bench", at: int, bits: int, reason: str
    ) -> None:
        said = bytearray(announce(bytes(54), bench.route(), 1.8e9, bench.keys) + b"\0")
        said[at] ^= bits
        frame = bench.from_client(bytes(said if at == 97 else said[:-1]))
        assert bench.run(frame) == bench.outcome("drop", frame, reason)

    def test_also_those_to_another_transceiver_than_the_flows(self, bench: "Bench") -> None:
        bench.install()
        bench.limit(ufrag=TWO, stun_repeated=NONE)
        another = f"{bench.route(slot=2).ufrag}:abcd".encode()
        reasons = [bench.run(bench.from_client(bench.request(another))).counted for _ in range(5)]
        assert reasons == [{"stun_other_route": 1}] * 4 + [{"stun_ufrag_limited": 1}]

    @pytest.mark.parametrize("payload", [RTP, DTLS])
    def test_a_share_of_media_goes_up(self, bench: "Bench", payload: bytes) -> None:
        bench.limit(unknown_client=TWO)
        frame = bench.from_client(payload)
        for _ in range(2):
            assert bench.run(frame) == bench.outcome("pass", frame, "unknown_client")
        assert bench.run(frame) == bench.outcome("drop", frame, "unknown_client_limited")

    @pytest.mark.parametrize("payload", [RTP, DTLS])
    def test_a_client_that_is_expected_goes_up_beyond_that_share(
        self, bench: "Bench", payload: bytes
    ) -> None:
        bench.limit(unknown_client=NONE)
        source, frame = Source(bench.client, bench.vip), bench.from_client(payload)
        assert bench.run(frame).counted == {"unknown_client_limited": 1}
        bench.dataplane.expect(source)
        assert bench.run(frame) == bench.outcome("pass", frame, "dormant_client")
        another = bench.from_client(payload, client=bench.client._replace(port=50001))
        assert bench.run(another).counted == {"unknown_client_limited": 1}
        bench.dataplane.expect_no_more(source)
        assert bench.run(frame).counted == {"unknown_client_limited": 1}

    @pytest.mark.parametrize("payload", [b"", b"GET / HTTP/1.0", b"\x04", b"\x40", b"\xff"])
    def test_what_webrtc_does_not_send_is_dropped(self, bench: "Bench", payload: bytes) -> None:
        frame = bench.from_client(payload)
        assert bench.run(frame) == bench.outcome("drop", frame, "not_webrtc")


class TestUnknownTransceiver:
    """What comes to an upstream port from elsewhere."""

    def test_stun_goes_up(self, bench: "Bench") -> None:
        bench.limit(stun_answer=TWO)
        frame = bench.from_transceiver(bench.request(b"any:thing"))
        for _ in range(2):
            assert bench.run(frame, "internal") == bench.outcome("pass", frame, "stun_answer")
        assert bench.run(frame, "internal").counted == {"stun_answer_limited": 1}

    def test_a_share_of_media_goes_up(self, bench: "Bench") -> None:
        bench.limit(unknown_transceiver=TWO)
        frame = bench.from_transceiver(RTP)
        for _ in range(2):
            assert bench.run(frame, "internal").counted == {"unknown_transceiver": 1}
        assert bench.run(frame, "internal") == bench.outcome(
            "drop", frame, "unknown_transceiver_limited"
        )

    @pytest.mark.parametrize(
        ("payload", "reason"), [(b"\x00\x01", "stun_malformed"), (b"GET /", "not_webrtc")]
    )
    def test_the_rest_is_dropped(self, bench: "Bench", payload: bytes, reason: str) -> None:
        frame = bench.from_transceiver(payload)
        assert bench.run(frame, "internal") == bench.outcome("drop", frame, reason)

    @pytest.mark.parametrize(("port", "ours"), [(19999, 0), (20000, 1), (29999, 1), (30000, 0)])
    def test_the_range_includes_its_ends(self, bench: "Bench", port: int, ours: int) -> None:
        frame = bench.from_transceiver(RTP, to=Endpoint(bench.upstream.host, port))
        reason = "unknown_transceiver" if ours else "not_ours"
        assert bench.run(frame, "internal").counted == {reason: 1}


class TestNotOurs:
    """Whatever else this host does is none of the program's business."""

    def test_other_services_are_untouched(self, bench: "Bench") -> None:
        host = bench.vip.host
        ether = Ether(src="02:00:00:00:01:02", dst="02:00:00:00:01:01")
        ip = IP(src=bench.client.host, dst=host)
        for packet, reason in (
            (ether / ip / TCP(dport=22), "not_udp"),
            (ether / ip / UDP(sport=53, dport=40000) / Raw(b"\0\x01 DNS"), "not_ours"),
            (ether / ip / UDP(dport=3479) / Raw(RTP), "not_ours"),
            (ether / ip / ICMP(), "not_udp"),
            (ether / ARP(pdst=host), "not_ip"),
            (Ether(src=ether.src, dst=ether.dst, type=0x88CC) / Raw(bytes(60)), "not_ip"),  # LLDP
        ):
            frame = bytes(packet)
            assert bench.run(frame) == bench.outcome("pass", frame, reason)

    def test_another_address_with_our_port(self, bench: "Bench") -> None:
        frame = bench.from_client(RTP, to=Endpoint("203.0.113.99", bench.vip.port))
        assert bench.run(frame) == bench.outcome("pass", frame, "not_ours")

    def test_what_is_cut_off_is_left_to_the_network_stack(self, bench: "Bench") -> None:
        bench.install()
        frame = bench.from_client(RTP)
        for size in range(14, len(frame)):
            assert bench.run(frame[:size]) == bench.outcome("pass", frame[:size], "malformed")

    @pytest.mark.parametrize(
        "fields",
        [
            {"ihl": 4},
            {"version": 5},
            {"len": 27},
            {"len": 2000},
            {"udp_len": 7},
            {"udp_len": len(RTP) + 9},
        ],
    )
    def test_headers_that_contradict_each_other(
        self, bench: "Bench", fields: dict[str, Any]
    ) -> None:
        bench.install()
        frame = bench.from_client(RTP, **fields)
        assert bench.run(frame) == bench.outcome("pass", frame, "malformed")
