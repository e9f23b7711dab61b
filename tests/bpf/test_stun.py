"""The parser in C gives the verdicts of tests/relay/wire/parser.json, as the one in Python does."""

import random
from typing import TYPE_CHECKING

import pytest

from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.relay.wire.cases import CASES, CLUSTER, KEYS, Case
from tests.relay.wire.verdict import ROUTED, verdict

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RANDOM_PACKETS = 20_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_parser_in_c_decides_as_the_file_says(bench: "Bench", case: Case) -> None:
    assert bench.run(bench.from_client(case.payload)).counted == {case.verdict: 1}


@pytest.mark.parametrize("size", [900, 1000, 1100])
@pytest.mark.parametrize("confirmed", [False, True], ids=["pending", "confirmed"])
def test_a_check_with_dtls_inside_passes(bench: "Bench", size: int, *, confirmed: bool) -> None:
    """SPED (draft-hancke-webrtc-sped): a pending flow's goes to the agent, as any check does."""
    if confirmed:
        bench.install()
    hello = (Attribute.DTLS_IN_STUN, bytes([22, 254, 255]) + bytes(size - 3))
    frame = bench.from_client(bench.request(None, hello))
    done = bench.run(frame)
    if confirmed:
        assert done.verdict == "redirect"
        assert len(done.frame) == len(frame)
    else:
        assert done == bench.outcome("pass", frame, ROUTED)


def test_every_flipped_bit_of_a_ufrag_is_refused(bench: "Bench") -> None:
    ufrag = bench.route().ufrag.encode()
    for bit in range(len(ufrag) * 8):
        flipped = bytearray(ufrag)
        flipped[bit // 8] ^= 1 << bit % 8
        attributes = ((Attribute.USERNAME, bytes(flipped) + b":abcd"),)
        payload = Message(MessageClass.REQUEST, BINDING, bytes(12), attributes).serialize()
        (reason,) = bench.run(bench.from_client(payload)).counted
        assert reason == verdict(payload, KEYS, CLUSTER) != ROUTED, bit


def test_both_parsers_agree_on_random_changes(bench: "Bench") -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    template = bench.from_client(b"")
    originals = [case.payload for case in CASES if case.payload]
    for number in range(RANDOM_PACKETS):
        payload = mutate(chance, bytearray(chance.choice(originals)))
        (reason,) = bench.run(framed(template, payload)).counted
        expected = verdict(payload, KEYS, CLUSTER)
        assert reason == expected, f"seed {seed}, packet {number}: {payload.hex()}"


def framed(template: bytes, payload: bytes) -> bytes:
    """The payload behind the headers of an empty frame: scapy is too slow for many packets."""
    frame = bytearray(template + payload)
    frame[16:18] = (28 + len(payload)).to_bytes(2, "big")
    frame[38:40] = (8 + len(payload)).to_bytes(2, "big")
    return bytes(frame)


def mutate(chance: random.Random, payload: bytearray) -> bytes:
    """A few changes of one of several kinds."""
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(payload))
        match chance.randrange(5):
            case 0:
                payload[at] ^= 1 << chance.randrange(8)
            case 1:
                payload[at] = chance.choice(b"\x00\x04\x06\x08\x1c\xff:=A/")
            case 2:
                del payload[at:]
            case 3:
                payload[at:at] = bytes(chance.randrange(1, 9))
            case _:  # a length that is right, whatever else was changed
                payload[2:4] = max(0, len(payload) - 20).to_bytes(2, "big")
        if not payload:
            return b""
    return bytes(payload)
