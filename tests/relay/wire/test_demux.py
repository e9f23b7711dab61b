import pytest

from relay.wire.announcement import FIRST_BYTE
from relay.wire.demux import Kind, classify

# RFC 7983, section 7, figure 3; the ranges of ZRTP, TURN channels and QUIC are nobody's here.
RANGES = [
    (0, 3, Kind.STUN),
    (4, 19, Kind.OTHER),
    (20, 63, Kind.DTLS),
    (64, 127, Kind.OTHER),
    (128, 191, Kind.RTP),
    (192, 255, Kind.OTHER),
]


@pytest.mark.parametrize(("first", "last", "kind"), RANGES)
def test_every_first_byte_has_the_kind_of_its_range(first: int, last: int, kind: Kind) -> None:
    kinds = {byte: classify(bytes([byte, 0xFF])) for byte in range(first, last + 1)}
    assert kinds == dict.fromkeys(range(first, last + 1), kind)


def test_an_empty_datagram_is_nothing() -> None:
    assert classify(b"") is Kind.OTHER


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(buffer: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    assert classify(buffer(b"\x16\xfe\xfd")) is Kind.DTLS


def test_an_announcement_is_of_no_protocol_that_others_know() -> None:
    assert classify(bytes([FIRST_BYTE])) is Kind.OTHER
