import random
import struct

import aiortc.rtp
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media.errors import RtpError
from transceiver.media.rtp import Packet, pack_extensions, parse

HEADER = bytes.fromhex("80 6f 0102 00000304 0a0b0c0d")


def with_block(profile: int, block: bytes, payload: bytes = b"sound") -> bytes:
    head = bytes((HEADER[0] | 0x10,)) + HEADER[1:]
    return head + struct.pack("!HH", profile, len(block) // 4) + block + payload


def test_a_plain_packet() -> None:
    packet = parse(HEADER + b"sound")
    assert (packet.payload_type, packet.marker) == (111, False)
    assert (packet.sequence, packet.timestamp, packet.ssrc) == (0x102, 0x304, 0x0A0B0C0D)
    assert packet.payload == b"sound"
    assert packet.extensions == {}
    assert (packet.csrcs, packet.padding, packet.appbits) == ((), 0, 0)


def test_the_marker_is_no_part_of_the_payload_type() -> None:
    packet = parse(b"\x80\xef" + HEADER[2:])
    assert (packet.payload_type, packet.marker, packet.payload) == (111, True, b"")


def test_contributing_sources_extension_and_padding_together() -> None:
    data = (
        b"\xb2\x6f"
        + HEADER[2:]
        + struct.pack("!II", 7, 8)
        + struct.pack("!HH", 0xBEDE, 1)
        + b"\x10\x55\x00\x00"
        + b"sound"
        + b"\x00\x00\x03"
    )
    packet = parse(data)
    assert packet.csrcs == (7, 8)
    assert packet.extensions == {1: b"\x55"}
    assert packet.payload == b"sound"
    assert packet.padding == 3
    assert packet.serialise() == data


def test_a_packet_of_padding_only_has_an_empty_payload() -> None:
    assert parse(b"\xa0" + HEADER[1:] + bytes(254) + b"\xff").payload == b""


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "at least 12 bytes"),
        (HEADER[:11], "at least 12 bytes"),
        (b"\x40" + HEADER[1:], "version"),
        (b"\x8f" + HEADER[1:] + bytes(59), "contributing"),
        (b"\x90" + HEADER[1:] + bytes(3), "no header"),
        (b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x02" + bytes(7), "2 words"),
        (b"\xa0" + HEADER[1:] + b"\x00", "padding"),
        (b"\xa0" + HEADER[1:] + b"\x02", "padding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_packet_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(RtpError, match=says):
        parse(data)


def test_one_byte_elements_of_any_length() -> None:
    block = b"\x11\x80\x81" + b"\x00" + b"\x2f" + bytes(range(16)) + b"\x00\x00\x00"
    assert parse(with_block(0xBEDE, block)).extensions == {1: b"\x80\x81", 2: bytes(range(16))}


def test_two_byte_elements_may_be_empty_or_long_and_carry_appbits() -> None:
    block = b"\x01\x00" + b"\x0f\x02\x01\x02" + b"\x00" + b"\xff\x03abc"
    packet = parse(with_block(0x1005, block))
    assert packet.extensions == {1: b"", 15: b"\x01\x02", 255: b"abc"}
    assert packet.appbits == 5


@pytest.mark.parametrize("first", [b"\xf0", b"\x03"])
def test_a_reserved_id_ends_the_list(first: bytes) -> None:
    block = b"\x10\x55" + first + b"\x99" + b"\x20\x66\x00\x00"
    assert parse(with_block(0xBEDE, block)).extensions == {1: b"\x55"}


@pytest.mark.parametrize(
    ("profile", "block"),
    [
        (0xBEDE, b"\x10\x55\x2f\x00"),
        (0xBEDE, b"\x10\x55\x21\x00"),
        (0x1000, b"\x01\x01\x55\x02"),
        (0x1000, b"\x01\x01\x55\x02\x09\x00\x00\x00"),
    ],
)
def test_an_element_that_overruns_costs_itself_only(profile: int, block: bytes) -> None:
    packet = parse(with_block(profile, block))
    assert packet.extensions == {1: b"\x55"}
    assert packet.payload == b"sound"


def test_an_unknown_form_of_extension_is_passed_over() -> None:
    packet = parse(with_block(0x4444, b"\x10\x55\x00\x00"))
    assert packet.extensions == {}
    assert packet.payload == b"sound"


def test_extensions_take_the_short_form_when_they_fit() -> None:
    assert pack_extensions({1: b"\x55", 14: bytes(16)})[0] == 0xBEDE
    assert pack_extensions({1: b""})[0] == 0x1000
    assert pack_extensions({15: b"a"})[0] == 0x1000
    assert pack_extensions({1: bytes(17)})[0] == 0x1000
    assert pack_extensions({1: b"a"}, appbits=3)[0] == 0x1003
    assert pack_extensions({}) == (0, b"")


def test_packets_are_equal_when_their_bytes_are() -> None:
    assert parse(HEADER + b"a") == parse(HEADER + b"a")
    assert parse(HEADER + b"a") != parse(HEADER + b"b")
    assert "seq=258" in repr(parse(HEADER))


elements = st.dictionaries(
    st.integers(1, 255), st.binary(max_size=255), max_size=4
) | st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4)


@st.composite
def packets(draw: st.DrawFn) -> tuple[Packet, dict[int, bytes]]:
    written = draw(elements)
    profile, block = pack_extensions(written, draw(st.integers(0, 15)))
    packet = Packet(
        draw(st.integers(0, 127)),
        draw(st.integers(0, 2**16 - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.binary(max_size=100)),
        marker=draw(st.booleans()),
        csrcs=tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=15))),
        padding=draw(st.integers(0, 255)),
        profile=profile,
        block=block,
    )
    return packet, written


@seed(13)
@given(packets())
def test_what_is_written_is_read_again(made: tuple[Packet, dict[int, bytes]]) -> None:
    packet, written = made
    read = parse(packet.serialise())
    assert read == packet
    assert read.extensions == written
    for name in ("payload_type", "marker", "sequence", "timestamp", "ssrc", "payload", "csrcs"):
        assert getattr(read, name) == getattr(packet, name)
    assert read.padding == packet.padding


@seed(13)
@given(packets())
def test_aiortc_reads_the_same(made: tuple[Packet, dict[int, bytes]]) -> None:
    packet, written = made
    data = packet.serialise()
    oracle = aiortc.rtp.RtpPacket.parse(data)
    read = parse(data)
    assert (oracle.payload_type, bool(oracle.marker)) == (read.payload_type, read.marker)
    assert (oracle.sequence_number, oracle.timestamp) == (read.sequence, read.timestamp)
    assert (oracle.ssrc, tuple(oracle.csrc)) == (read.ssrc, read.csrcs)
    assert (oracle.payload, oracle.padding_size) == (read.payload, read.padding)
    if packet.profile & ~0xF == 0x1000 and packet.appbits:
        return  # which aiortc does not know
    assert dict(aiortc.rtp.unpack_header_extensions(packet.profile, packet.block)) == written


@seed(13)
@given(st.binary(max_size=80), st.sampled_from([0x80, 0x90, 0xA0, 0xB3, 0xFF]))
def test_any_bytes_are_a_packet_or_an_rtp_error(data: bytes, first: int) -> None:
    for each in (data, bytes((first,)) + data):
        try:
            packet = parse(each)
        except RtpError:
            continue
        assert isinstance(packet.extensions, dict)
        assert len(packet.serialise()) == len(each)


def test_damaged_packets_are_packets_or_an_rtp_error() -> None:
    chance = random.Random(13)
    profile, block = pack_extensions({1: b"\x55", 3: b"\x01\x02", 4: b"audio"})
    whole = Packet(
        111, 1, 2, 3, b"sound", csrcs=(7,), padding=4, profile=profile, block=block
    ).serialise()
    for _ in range(20_000):
        data = bytearray(whole[: chance.randint(1, len(whole))])
        for _ in range(chance.randint(0, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert parse(bytes(data)).extensions is not None
        except RtpError:
            continue
