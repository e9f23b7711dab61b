"""Datagrams in checks: each is taken once, and acknowledged as often as it comes."""

import zlib

import pytest

from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from transceiver.sped import MAX_EMBEDDED, Sped

DTLS = bytes([22, 254, 255])


def request(*attributes: tuple[int, bytes]) -> Message:
    return Message(MessageClass.REQUEST, BINDING, bytes(12), attributes)


def carrying(data: bytes) -> Message:
    return request((Attribute.DTLS_IN_STUN, data))


def crcs(*data: bytes) -> bytes:
    return b"".join(zlib.crc32(each).to_bytes(4, "big") for each in data)


def test_both_parts_of_a_long_hello_arrive_in_any_order() -> None:
    sped, parts = Sped(), (DTLS + b"second" * 80, DTLS + b"first" * 180)
    for part in parts:
        assert sped.take(carrying(part)) == part
    _, (_, acknowledged) = sped.answer(carrying(parts[0]))
    assert acknowledged == crcs(*parts)


def test_an_acknowledgement_names_the_latest_four() -> None:
    sped, parts = Sped(), [DTLS + bytes([number]) for number in range(6)]
    for part in parts:
        sped.take(carrying(part))
    sped.take(carrying(parts[0]))  # it came again: its acknowledgement was lost
    _, (kind, acknowledged) = sped.answer(carrying(b""))
    assert kind == Attribute.DTLS_IN_STUN_ACK
    assert acknowledged == crcs(parts[3], parts[4], parts[5], parts[0])


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x01" + bytes(30), bytes([128]) + bytes(30), DTLS + bytes(MAX_EMBEDDED)]
)
def test_what_is_no_dtls_is_not_taken_nor_acknowledged(data: bytes) -> None:
    sped = Sped()
    assert sped.take(carrying(data)) is None
    assert sped.answer(carrying(data)) == (
        (Attribute.DTLS_IN_STUN, b""),
        (Attribute.DTLS_IN_STUN_ACK, b""),
    )


def test_an_empty_attribute_asks_for_an_answer_and_none_for_none() -> None:
    assert Sped().answer(request((Attribute.DTLS_IN_STUN_ACK, b""))) != ()
    assert Sped().answer(request()) == ()


def test_what_is_remembered_is_bounded() -> None:
    sped = Sped()
    for number in range(1000):
        sped.take(carrying(DTLS + number.to_bytes(2, "big")))
        sped.sent(number.to_bytes(2, "big"))
    assert len(sped._received) == len(sped._sent) == 64


@pytest.mark.parametrize("value", [b"", b"x", crcs(DTLS) + b"x", crcs(*[DTLS] * 5)])
def test_a_broken_acknowledgement_acknowledges_nothing(value: bytes) -> None:
    sped = Sped()
    sped.sent(DTLS)
    assert not sped.has_arrived(request((Attribute.DTLS_IN_STUN_ACK, value)))
    assert sped.has_arrived(request((Attribute.DTLS_IN_STUN_ACK, crcs(b"other", DTLS))))
