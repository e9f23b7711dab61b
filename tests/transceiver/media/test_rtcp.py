import random

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media import rtcp, rtcpwrite
from transceiver.media.errors import RtcpError
from transceiver.media.rtcp import LastReport, ReportBlock
from transceiver.media.transportcc import Feedback

BLOCK = ReportBlock(0x0B0C0D0E, 0.25, -3, 0x0001_0203, 17, 0x11223344, 65_536)
SR = rtcpwrite.sender_report(rtcp.SenderReport(1, 2**40, 3, 4, 5, (BLOCK,)))
RR = rtcpwrite.receiver_report(rtcp.ReceiverReport(1, (BLOCK,)))
SDES = rtcpwrite.description(1, "client")
BYE = rtcpwrite.goodbye(1)
ALL = (
    SR
    + SDES
    + rtcpwrite.nack(1, 2, [5, 6, 40])
    + rtcpwrite.transport_feedback(Feedback(1, 2, 3, 4, (0.1, None, 0.2)))
    + rtcpwrite.remb(1, 30_000, [2])
    + rtcpwrite.extended_report(1, 5, [LastReport(1, 2, 3)])
    + BYE
)


def test_a_sender_report_byte_by_byte() -> None:
    data = bytes.fromhex(
        "81c8000c 00000001 8000000040000000 00000003 00000004 00000005"
        "0b0c0d0e 40fffffd 00010203 00000011 11223344 00010000"
    )
    assert rtcp.parse(data).messages == (
        rtcp.SenderReport(1, 0x80000000_40000000, 3, 4, 5, (BLOCK,)),
    )


def test_a_compound_of_everything() -> None:
    found = rtcp.parse(ALL)
    assert [type(message).__name__ for message in found.messages] == [
        *("SenderReport", "Description", "Nack", "Feedback", "Remb"),
        *("ReferenceTime", "LastReports", "Goodbye"),
    ]
    assert (found.unknown, found.broken) == (0, 0)


def test_reduced_size_needs_no_report_first() -> None:
    assert rtcp.parse(rtcpwrite.nack(1, 2, [5])).messages == (rtcp.Nack(1, 2, (5,)),)


@pytest.mark.parametrize("data", [b"", bytes(8), SR[:7], b"\x80\x6f" + bytes(20), b"\x41" + SR[1:]])
def test_what_does_not_begin_like_rtcp_is_refused(data: bytes) -> None:
    with pytest.raises(RtcpError):
        rtcp.parse(data)


@pytest.mark.parametrize(
    "unknown",
    [
        rtcpwrite.packet(204, 0, bytes(8)),  # APP
        rtcpwrite.packet(206, 1, bytes(8)),  # picture loss
        rtcpwrite.packet(206, 15, bytes(8) + b"ABCD" + bytes(4)),
        rtcpwrite.packet(205, 3, bytes(8)),
        rtcpwrite.packet(207, 0, bytes(4) + b"\x07\x00\x00\x01" + bytes(4)),
        rtcpwrite.packet(195, 0, b""),
    ],
)
def test_unknown_packets_are_passed_over(unknown: bytes) -> None:
    found = rtcp.parse(RR + unknown + BYE)
    assert len(found.messages) == 2
    assert (found.unknown, found.broken) == (1, 0)


@pytest.mark.parametrize(
    "broken",
    [
        rtcpwrite.packet(200, 0, bytes(16)),
        rtcpwrite.packet(201, 0, b""),
        rtcpwrite.packet(202, 1, b"\0\0\0\1\1\x40ab"),
        rtcpwrite.packet(202, 2, bytes(8)),
        rtcpwrite.packet(203, 2, bytes(4)),
        rtcpwrite.packet(205, 1, bytes(4)),
        rtcpwrite.packet(205, 15, bytes(12)),
        rtcpwrite.packet(207, 0, bytes(4) + b"\x04\x00\x00\x02" + bytes(4)),
        b"\xa0" + rtcpwrite.packet(201, 0, bytes(8))[1:],
    ],
)
def test_a_broken_packet_costs_itself(broken: bytes) -> None:
    found = rtcp.parse(RR + broken + BYE)
    assert found.messages[-1] == rtcp.Goodbye((1,))
    assert found.broken + found.unknown == 1


@pytest.mark.parametrize("end", [b"\x80", b"\x80\xcb\x00\x05" + bytes(4), b"\x00\xcb\x00\x00"])
def test_an_end_that_is_no_packet_costs_itself(end: bytes) -> None:
    found = rtcp.parse(RR + end)
    assert len(found.messages) == 1
    assert found.broken == 1


def test_a_count_that_overruns_costs_what_is_missing() -> None:
    found = rtcp.parse(b"\x9f" + RR[1:])
    assert found.messages == (rtcp.ReceiverReport(1, (BLOCK,)),)
    remb = bytearray(rtcpwrite.remb(1, 30_000, [2]))
    remb[16] = 200
    (message,) = rtcp.parse(bytes(remb)).messages
    assert isinstance(message, rtcp.Remb)
    assert message.ssrcs == (2,)


def test_padding_at_the_end_is_no_part() -> None:
    data = bytearray(rtcpwrite.packet(203, 1, bytes((0, 0, 0, 1)) + bytes(3) + b"\x04"))
    data[0] |= 0x20
    assert rtcp.parse(RR + bytes(data)).messages[-1] == rtcp.Goodbye((1,))


def test_one_packet_cannot_ask_for_the_moon() -> None:
    (message,) = rtcp.parse(rtcpwrite.packet(205, 1, bytes(8) + b"\x00\x01\xff\xff" * 300)).messages
    assert isinstance(message, rtcp.Nack)
    assert len(message.lost) == rtcp.MAX_NACKS


def test_one_datagram_has_a_limit() -> None:
    assert len(rtcp.parse(BYE * 100).messages) == rtcp.MAX_PACKETS


@seed(13)
@given(st.binary(max_size=120), st.integers(192, 223), st.integers(0, 63), st.integers(0, 30))
def test_any_bytes_are_read_or_refused(data: bytes, kind: int, first: int, words: int) -> None:
    for each in (data, bytes((0x80 | first, kind, 0, words)) + data, RR + data):
        try:
            found = rtcp.parse(each)
        except RtcpError:
            continue
        assert found.unknown + found.broken + len(found.messages) > 0


def test_damaged_packets_are_read_or_refused() -> None:
    chance = random.Random(13)
    for _ in range(20_000):
        data = bytearray(ALL[: chance.randint(1, len(ALL))])
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            rtcp.parse(bytes(data))
        except RtcpError:
            continue
