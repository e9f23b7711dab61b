"""The programs that know everything beforehand write what a NAT has to write."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from relay.wire.endpoint import Endpoint
from tests.bench.compare.systems.constants import Constants, Way
from tests.lab.frame import parse
from tests.lab.xdp_program import Run, run_xdp

pytestmark = pytest.mark.bpf

MAC = "02:00:00:00:00:01"  # given, so that nobody is asked for it
PASS, REDIRECT = 2, 4  # enum xdp_action
CLIENT = Endpoint("198.18.255.254", 65_534)  # its words overflow when they are added up
CONSTANTS = Constants(
    there=Way(1, bytes.fromhex("020000000202 020000000102")),
    back=Way(1, bytes.fromhex("020000000201 020000000101")),
    vip=Endpoint("203.0.113.10", 3478),
    transceiver=Endpoint("192.0.2.254", 5000),
    offset=0x10001,
)
UPSTREAM = Endpoint("198.19.255.255", 65_535)
PAYLOAD = b"\x80\x6f" + bytes(range(100))


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, int]]:
    made = CONSTANTS.programs()
    yield made
    for fd in made.values():
        os.close(fd)


def frame(source: Endpoint, destination: Endpoint, **ip: Any) -> bytes:
    packet = IP(src=source.host, dst=destination.host, **ip) / UDP(
        sport=source.port, dport=destination.port
    )
    return bytes(Ether(dst=MAC) / packet / PAYLOAD)


def assert_rewritten(done: Run, macs: bytes, source: Endpoint, destination: Endpoint) -> None:
    assert done.verdict == REDIRECT
    assert done.data[:12] == macs
    assert IP(done.data[14:]).ttl == 63
    found = parse(done.data)
    assert found is not None
    assert (found.source, found.destination) == (source, destination)
    assert (found.payload, found.intact) == (PAYLOAD, True)


def test_both_ways_are_translated_with_right_checksums(programs: dict[str, int]) -> None:
    assert CONSTANTS.upstream(CLIENT) == UPSTREAM
    there = run_xdp(programs["nat_there"], frame(CLIENT, CONSTANTS.vip))
    assert_rewritten(there, CONSTANTS.there.macs, UPSTREAM, CONSTANTS.transceiver)
    back = run_xdp(programs["nat_back"], frame(CONSTANTS.transceiver, UPSTREAM))
    assert_rewritten(back, CONSTANTS.back.macs, CONSTANTS.vip, CLIENT)


def test_a_missing_udp_checksum_stays_missing(programs: dict[str, int]) -> None:
    sent = bytearray(frame(CLIENT, CONSTANTS.vip))
    sent[40:42] = bytes(2)
    done = run_xdp(programs["nat_there"], bytes(sent))
    assert_rewritten(done, CONSTANTS.there.macs, UPSTREAM, CONSTANTS.transceiver)
    assert done.data[40:42] == bytes(2)


@pytest.mark.parametrize(
    "ip",
    [{"ttl": 1}, {"flags": "MF"}, {"frag": 3}, {"proto": 6}, {"options": b"\x01" * 4}],
    ids=str,
)
def test_what_a_relay_would_not_forward_passes_unharmed(
    programs: dict[str, int], ip: dict[str, object]
) -> None:
    sent = frame(CLIENT, CONSTANTS.vip, **ip)
    done = run_xdp(programs["nat_there"], sent)
    assert (done.verdict, done.data) == (PASS, sent)


def test_what_others_send_passes_unharmed(programs: dict[str, int]) -> None:
    for program, source, destination in (
        ("nat_there", CLIENT, CONSTANTS.vip._replace(port=3479)),
        ("nat_there", CLIENT, CONSTANTS.transceiver),
        ("nat_back", CONSTANTS.transceiver._replace(port=5001), UPSTREAM),
    ):
        sent = frame(source, destination)
        assert (run_xdp(programs[program], sent).verdict) == PASS


def test_the_bare_redirect_changes_nothing_but_mac_addresses(programs: dict[str, int]) -> None:
    sent = frame(CLIENT, CONSTANTS.vip)
    for program, way in (("redirect_there", CONSTANTS.there), ("redirect_back", CONSTANTS.back)):
        done = run_xdp(programs[program], sent)
        assert (done.verdict, done.data) == (REDIRECT, way.macs + sent[12:])
