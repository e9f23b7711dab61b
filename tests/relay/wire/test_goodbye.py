"""The goodbye on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.demux import is_control
from relay.wire.endpoint import Endpoint
from relay.wire.errors import GoodbyeError
from relay.wire.goodbye import SIZE, Goodbye, is_goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint

KEYS = KeyRing({3: bytes(range(32)), 5: bytes(32)}, signing_slot=3)
ROUTE = mint(Target(1, 0x20304, 5), KEYS, now=1.8e9, lifetime=60.0, nonce=b"abcd")
GOODBYE = Goodbye(ROUTE.raw, Endpoint("203.0.113.9", 40_000), Endpoint("2001:db8::1", 20_000))


def test_what_it_is_on_the_wire() -> None:
    """A vector: relays and transceivers of different versions must agree on it."""
    data = GOODBYE.serialize(KEYS)
    assert data[:-8].hex() == (
        "0d13"
        f"{ROUTE.raw.hex()}"
        "00000000000000000000ffffcb0071099c40"
        "20010db80000000000000000000000014e20"
    )  # fmt: skip
    assert len(data) == SIZE
    assert is_control(data)


def test_it_is_read_as_it_was_written() -> None:
    assert Goodbye.parse(GOODBYE.serialize(KEYS), KEYS) == GOODBYE


def test_a_key_that_signs_no_more_is_still_known() -> None:
    assert Goodbye.parse(GOODBYE.serialize(KEYS), KeyRing({3: bytes(range(32)), 6: b"6" * 32}, 6))


@pytest.mark.parametrize("ring", [KeyRing({3: bytes(32)}, 3), KeyRing({5: bytes(32)}, 5)])
def test_another_key_or_none_does_not_do(ring: KeyRing) -> None:
    with pytest.raises(GoodbyeError):
        Goodbye.parse(GOODBYE.serialize(KEYS), ring)


@given(st.integers(0, SIZE * 8 - 1))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    data = bytearray(GOODBYE.serialize(KEYS))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(GoodbyeError):
        Goodbye.parse(bytes(data), KEYS)


@given(st.binary(max_size=SIZE + 2))
def test_nothing_else_is_one(data: bytes) -> None:
    if is_goodbye(data):
        with pytest.raises(GoodbyeError):
            Goodbye.parse(data, KEYS)
    else:
        assert len(data) != SIZE or data[0] != 0x0D or data[1] >> 4 != 1
