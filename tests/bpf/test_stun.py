"""The parsers of STUN and route, in C and in Python, give the same verdict on the same bytes."""

import random
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from relay.wire.demux import Kind, classify
from relay.wire.errors import RouteFormatError, RouteKeyError, RouteTagError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import Target, decode, mint, open_ufrag
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, header, server_ufrag

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

# A route that the bench's keys make (tests check that it is valid), and its parts.
KEYS = KeyRing({0: bytes(range(32)), 3: bytes(range(32, 64))}, signing_slot=3)
UFRAG = mint(
    Target(1, 7, 9), KEYS, now=1_800_000_000.0, lifetime=3600, nonce=b"abcd"
).ufrag.encode()
VALID = (Attribute.USERNAME, UFRAG + b":abcd")
PRIORITY = (Attribute.PRIORITY, bytes(4))
INTEGRITY = (Attribute.MESSAGE_INTEGRITY, bytes(20))
INTEGRITY_SHA256 = (Attribute.MESSAGE_INTEGRITY_SHA256, bytes(32))
FORGED = UFRAG[:-1] + (b"B" if UFRAG.endswith(b"A") else b"A")
ROUTED, NO_ROUTE = "stun_routed", "stun_no_route"
RANDOM_PACKETS = 20_000


def python_verdict(payload: bytes, keys: KeyRing) -> str:
    """The reason, as relay.wire sees it, for a packet from an unknown client to the VIP."""
    match classify(payload):
        case Kind.DTLS | Kind.RTP:
            return "unknown_client"
        case Kind.OTHER:
            return "not_webrtc"
    try:
        head = header(payload)
    except StunError:
        return "stun_malformed"
    if (head.message_class, head.method) != (MessageClass.REQUEST, BINDING):
        return "stun_not_request"
    return route_verdict(payload, keys)


def route_verdict(payload: bytes, keys: KeyRing) -> str:
    """The same for a Binding request."""
    try:
        ufrag = server_ufrag(payload)
        open_ufrag(ufrag, keys)
    except (StunError, RouteFormatError):
        return NO_ROUTE
    except RouteKeyError:
        return "stun_unknown_key"
    except RouteTagError:
        verdict = "stun_forged"
    else:
        verdict = ROUTED
    # The program is given keys by cluster, and the bench those of one.
    return verdict if decode(b64decode(ufrag)).target.cluster == 1 else "stun_unknown_key"


def message(
    *attributes: tuple[int, bytes], kind: MessageClass = MessageClass.REQUEST, method: int = BINDING
) -> bytes:
    """A message with attributes as they are, no others."""
    return Message(kind, method, bytes(12), attributes).serialize()


def username(value: bytes) -> bytes:
    """A Binding request with that USERNAME."""
    return message((Attribute.USERNAME, value), PRIORITY)


def changed(payload: bytes, offset: int, value: bytes) -> bytes:
    """The payload with some bytes replaced."""
    return payload[:offset] + value + payload[offset + len(value) :]


REQUEST = message(VALID, PRIORITY, INTEGRITY)
CASES = {
    "a request as clients send it": (REQUEST, ROUTED),
    "USERNAME alone": (message(VALID), ROUTED),
    "USERNAME second": (message(PRIORITY, VALID), ROUTED),
    "USERNAME eighth": (message(*[PRIORITY] * 7, VALID), ROUTED),
    "USERNAME ninth": (message(*[PRIORITY] * 8, VALID), NO_ROUTE),
    "USERNAME after attributes of odd sizes": (
        message((0x8022, b"abcde"), (0x8023, b""), (0x8024, b"abc"), VALID),
        ROUTED,
    ),
    "two USERNAMEs, the first counts": (message(VALID, (Attribute.USERNAME, b"x:y")), ROUTED),
    "two USERNAMEs, the first is none of ours": (
        message((Attribute.USERNAME, b"x:y"), VALID),
        NO_ROUTE,
    ),
    "USERNAME after integrity": (message(INTEGRITY, VALID), NO_ROUTE),
    "USERNAME after SHA-256 integrity": (message(INTEGRITY_SHA256, VALID), NO_ROUTE),
    "no attributes": (message(), NO_ROUTE),
    "no USERNAME": (message(PRIORITY, INTEGRITY), NO_ROUTE),
    "an indication": (message(VALID, kind=MessageClass.INDICATION), "stun_not_request"),
    "a success": (message(VALID, kind=MessageClass.SUCCESS), "stun_not_request"),
    "another method": (message(VALID, method=3), "stun_not_request"),
    "top bits set": (changed(REQUEST, 0, b"\x40"), "not_webrtc"),
    "another cookie": (changed(REQUEST, 7, b"\x43"), "stun_malformed"),
    "one byte more": (REQUEST + b"\0", "stun_malformed"),
    "one byte less": (REQUEST[:-1], "stun_malformed"),
    "four bytes more": (REQUEST + bytes(4), "stun_malformed"),
    "a length that is too small": (changed(REQUEST, 2, b"\0\x04"), "stun_malformed"),
    "a length of zero": (changed(REQUEST, 2, b"\0\0"), "stun_malformed"),
    "an odd length": (changed(REQUEST + b"\0", 3, bytes([len(REQUEST) - 19])), "stun_malformed"),
    "nothing but a header's first byte": (b"\0", "stun_malformed"),
    "19 bytes": (REQUEST[:19], "stun_malformed"),
    "USERNAME over the end": (changed(message(VALID), 22, b"\0\xff"), NO_ROUTE),
    "an attribute before it over the end": (
        changed(message(PRIORITY, VALID), 22, b"\xff\xf0"),
        NO_ROUTE,
    ),
    "an attribute after it over the end": (
        changed(message(VALID, PRIORITY), 62, b"\xff\xf0"),
        ROUTED,
    ),
    "nothing after the colon": (username(UFRAG + b":"), ROUTED),
    "a second colon": (username(UFRAG + b":a:b"), ROUTED),
    "no colon": (username(UFRAG), NO_ROUTE),
    "a colon after 27 characters": (username(UFRAG[:27] + b":abcd"), NO_ROUTE),
    "a colon after 29 characters": (username(UFRAG + b"A:abcd"), NO_ROUTE),
    "a colon after 32 characters": (username(UFRAG + b"AAAA:abcd"), NO_ROUTE),
    "an empty USERNAME": (username(b""), NO_ROUTE),
    "a colon alone": (username(b":"), NO_ROUTE),
    "256 characters": (username(b"A" * 256 + b":abcd"), NO_ROUTE),
    "base64 padding": (username(UFRAG[:27] + b"=:abcd"), NO_ROUTE),
    "a NUL": (username(UFRAG[:27] + b"\0:abcd"), NO_ROUTE),
    "UTF-8": (username(UFRAG[:26] + "é".encode() + b":abcd"), NO_ROUTE),
    "URL-safe base64": (username(UFRAG[:27] + b"-:abcd"), NO_ROUTE),
    "a forged tag": (username(FORGED + b":abcd"), "stun_forged"),
    "version 1": (username(b"Q" + UFRAG[1:] + b":abcd"), NO_ROUTE),
    "version 2": (username(b"g" + UFRAG[1:] + b":abcd"), NO_ROUTE),
    "key slot 1, which is empty": (username(b"C" + UFRAG[1:] + b":abcd"), "stun_unknown_key"),
    "key slot 7, which is never routable": (
        username(b"O" + UFRAG[1:] + b":abcd"),
        "stun_unknown_key",
    ),
    "key slot 0, which did not sign it": (username(b"A" + UFRAG[1:] + b":abcd"), "stun_forged"),
}


@pytest.mark.parametrize("name", CASES)
def test_both_parsers_agree(bench: "Bench", name: str) -> None:
    payload, expected = CASES[name]
    assert python_verdict(payload, bench.keys) == expected
    assert bench.run(bench.from_client(payload)).counted == {expected: 1}


def test_every_flipped_bit_of_a_ufrag_is_refused(bench: "Bench") -> None:
    for bit in range(len(UFRAG) * 8):
        flipped = bytearray(UFRAG)
        flipped[bit // 8] ^= 1 << bit % 8
        payload = username(bytes(flipped) + b":abcd")
        (reason,) = bench.run(bench.from_client(payload)).counted
        assert reason == python_verdict(payload, bench.keys) != ROUTED, bit


def test_both_keys_of_a_rotation_are_taken(bench: "Bench") -> None:
    for slot in bench.keys.slots:
        masters = {0: bytes(range(32)), 3: bytes(range(32, 64))}
        keys = KeyRing(masters, signing_slot=slot)
        route = mint(Target(1, 70_000, 255), keys, now=0.0, lifetime=60, nonce=b"\xff" * 4)
        payload = username(route.ufrag.encode() + b":abcd")
        assert bench.run(bench.from_client(payload)).counted == {ROUTED: 1}


def test_a_cluster_without_a_key_is_refused(bench: "Bench") -> None:
    payload = username(bench.route(cluster=2).ufrag.encode() + b":abcd")
    assert bench.run(bench.from_client(payload)).counted == {"stun_unknown_key": 1}


def test_both_parsers_agree_on_random_changes(bench: "Bench") -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    template = bench.from_client(b"")
    originals = [payload for payload, _ in CASES.values() if payload]
    for number in range(RANDOM_PACKETS):
        payload = mutate(chance, bytearray(chance.choice(originals)))
        expected = python_verdict(payload, bench.keys)
        (reason,) = bench.run(framed(template, payload)).counted
        assert reason == expected, f"seed {seed}, packet {number}: {payload.hex()}"


def framed(template: bytes, payload: bytes) -> bytes:
    """The payload behind the headers of an empty frame: scapy is too slow for many packets."""
    frame = changed(template, 16, (28 + len(payload)).to_bytes(2, "big"))
    return changed(frame, 38, (8 + len(payload)).to_bytes(2, "big")) + payload


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
