"""The Internet checksum against scapy's, and its incremental update against a new computation."""

from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import checksum

from relay.wire.checksum import internet_checksum, update_checksum


@given(st.binary(max_size=100))
def test_it_is_scapys(data: bytes) -> None:
    assert internet_checksum(data) == checksum(data)


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=8, max_size=8))
def test_update_is_what_computing_it_anew_gives(rest: bytes, new: bytes) -> None:
    old, rest = (rest * 8)[:8], rest + b"\1"  # all zeros would have two checksums
    assert update_checksum(checksum(old + rest), old, new) == checksum(new + rest)


def test_a_wrong_checksum_stays_wrong() -> None:
    old, new, rest = b"old.", b"new!", b"the rest"
    wrong = checksum(old + rest) ^ 0x0100
    assert update_checksum(wrong, old, new) != checksum(new + rest)
