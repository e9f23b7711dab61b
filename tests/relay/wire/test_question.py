"""Questions and answers on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.demux import is_control
from relay.wire.endpoint import Endpoint
from relay.wire.errors import QuestionError
from relay.wire.keys import KeyRing
from relay.wire.question import (
    ANSWER_SIZE,
    QUESTION_SIZE,
    Answer,
    Question,
)
from relay.wire.route import Target, mint

KEYS = KeyRing({3: bytes(range(32)), 5: bytes(32)}, signing_slot=3)
CLIENT, VIP = Endpoint("203.0.113.9", 40_000), Endpoint("203.0.113.10", 3478)
ASKER, UPSTREAM = Endpoint("2001:db8::1", 50_000), Endpoint("192.0.2.1", 20_000)
TARGET = Target(0x0102, 0x20304, 5)
ROUTE = mint(TARGET, KEYS, now=1.8e9, lifetime=60.0, nonce=b"abcd")
QUESTION = Question(b"12345678", 0x0102, CLIENT, VIP, ASKER)
ANSWER = Answer(b"12345678", ROUTE.raw, 7, UPSTREAM)


def test_what_they_are_on_the_wire() -> None:
    """Vectors: relays and transceivers of different versions must agree on them."""
    asked, told = QUESTION.serialize(KEYS), ANSWER.serialize(KEYS)
    assert asked[:-8].hex() == (
        "0e033132333435363738"
        "0102"
        "00000000000000000000ffffcb0071099c40"
        "00000000000000000000ffffcb00710a0d96"
        "20010db8000000000000000000000001c350"
    )
    assert told[:-8].hex() == (
        f"0f033132333435363738{ROUTE.raw.hex()}0000000700000000000000000000ffffc00002014e20"
    )
    assert (len(asked), len(told)) == (QUESTION_SIZE, ANSWER_SIZE)
    assert is_control(asked)
    assert is_control(told)
    assert ANSWER.target == TARGET.packed


def test_an_answer_is_shorter_than_its_question() -> None:
    assert ANSWER_SIZE < QUESTION_SIZE


def test_they_are_read_as_they_were_written() -> None:
    assert Question.parse(QUESTION.serialize(KEYS), KEYS) == QUESTION
    assert Answer.parse(ANSWER.serialize(KEYS), KEYS) == ANSWER


@pytest.mark.parametrize("ring", [KeyRing({3: bytes(32)}, 3), KeyRing({5: bytes(32)}, 5)])
def test_another_key_or_none_does_not_do(ring: KeyRing) -> None:
    with pytest.raises(QuestionError):
        Question.parse(QUESTION.serialize(KEYS), ring)
    with pytest.raises(QuestionError):
        Answer.parse(ANSWER.serialize(KEYS), ring)


@given(st.integers(0, QUESTION_SIZE * 8 - 1))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    for data, kind in ((QUESTION.serialize(KEYS), Question), (ANSWER.serialize(KEYS), Answer)):
        flipped = bytearray(data)
        flipped[bit // 8 % len(data)] ^= 1 << bit % 8
        with pytest.raises(QuestionError):
            kind.parse(bytes(flipped), KEYS)


@given(st.binary(max_size=QUESTION_SIZE + 2))
def test_nothing_else_is_one(data: bytes) -> None:
    with pytest.raises(QuestionError):
        Question.parse(data, KEYS)
    with pytest.raises(QuestionError):
        Answer.parse(data, KEYS)
