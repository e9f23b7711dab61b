import aiortc.rtp
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media import rtcp, rtcpwrite
from transceiver.media.rtcp import LastReport, ReportBlock
from transceiver.media.transportcc import Feedback

u32 = st.integers(0, 2**32 - 1)
blocks = st.builds(
    ReportBlock,
    u32,
    st.integers(0, 255).map(lambda value: value / 256),
    st.integers(-(2**23), 2**23 - 1),
    *(u32, u32, u32, u32),
)


def only(data: bytes) -> rtcp.Message:
    found = rtcp.parse(data)
    assert (found.unknown, found.broken) == (0, 0)
    (message,) = found.messages
    assert len(data) % 4 == 0
    return message


sender_reports = st.builds(
    rtcp.SenderReport,
    *(u32, st.integers(0, 2**64 - 1), u32, u32, u32),
    st.lists(blocks, max_size=31).map(tuple),
)


@seed(13)
@given(sender_reports)
def test_sender_reports(report: rtcp.SenderReport) -> None:
    assert only(rtcpwrite.sender_report(report)) == report


@seed(13)
@given(u32, st.lists(blocks, max_size=31))
def test_receiver_reports(ssrc: int, each: list[ReportBlock]) -> None:
    report = rtcp.ReceiverReport(ssrc, tuple(each))
    assert only(rtcpwrite.receiver_report(report)) == report


def test_figures_beyond_their_fields_stay_at_the_end_of_them() -> None:
    block = ReportBlock(1, 1.5, 2**30, 2**32 + 5, 2**40, 6, 2**40)
    found = only(rtcpwrite.receiver_report(rtcp.ReceiverReport(1, (block,) * 40)))
    assert isinstance(found, rtcp.ReceiverReport)
    assert len(found.blocks) == 31
    assert found.blocks[0] == (1, 255 / 256, 2**23 - 1, 5, 2**32 - 1, 6, 2**32 - 1)


@pytest.mark.parametrize("name", ["", "a", "ab", "abc", "abcd", "x" * 255])
def test_canonical_names_of_any_length(name: str) -> None:
    assert only(rtcpwrite.description(7, name)) == rtcp.Description({7: name.encode()})


def test_goodbye() -> None:
    assert only(rtcpwrite.goodbye(7)) == rtcp.Goodbye((7,))


@seed(13)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=100, unique=True).map(sorted))
def test_every_number_that_is_missed_is_asked_for(lost: list[int]) -> None:
    numbers = tuple(65_400 + number & 0xFFFF for number in lost)
    assert only(rtcpwrite.nack(1, 2, numbers)) == rtcp.Nack(1, 2, numbers)


def test_transport_feedback() -> None:
    feedback = Feedback(1, 2, 65_535, 9, (1.0, None, 1.02))
    assert only(rtcpwrite.transport_feedback(feedback)) == feedback


@pytest.mark.parametrize("bitrate", [0, 30_000, 2**18 - 1, 64_000_000])
def test_remb(bitrate: int) -> None:
    found = only(rtcpwrite.remb(1, bitrate, [5, 6]))
    assert isinstance(found, rtcp.Remb)
    assert found.ssrcs == (5, 6)
    assert found.bitrate == pytest.approx(bitrate, rel=1e-5)


def test_extended_reports() -> None:
    answers = (LastReport(1, 2, 3), LastReport(4, 5, 6))
    found = rtcp.parse(rtcpwrite.extended_report(9, 77, answers))
    assert found.messages == (rtcp.ReferenceTime(9, 77), rtcp.LastReports(9, answers))


def test_aiortc_reads_the_same() -> None:
    block = ReportBlock(5, 0.25, -2, 70_000, 17, 0x11223344, 65_536)
    data = b"".join(
        (
            rtcpwrite.sender_report(rtcp.SenderReport(1, 2**40 + 7, 3, 4, 5, (block,))),
            rtcpwrite.receiver_report(rtcp.ReceiverReport(1, (block, block))),
            rtcpwrite.description(1, "abc"),
            rtcpwrite.nack(1, 2, [65_535, 0, 3, 500]),
            rtcpwrite.remb(1, 30_000, [2, 3]),
            rtcpwrite.goodbye(1),
        )
    )
    sender, receiver, description, nack, remb, goodbye = aiortc.rtp.RtcpPacket.parse(data)
    assert isinstance(sender, aiortc.rtp.RtcpSrPacket)
    assert sender.sender_info.ntp_timestamp == 2**40 + 7
    assert (sender.sender_info.rtp_timestamp, sender.sender_info.packet_count) == (3, 4)
    assert isinstance(receiver, aiortc.rtp.RtcpRrPacket)
    for report in (*sender.reports, *receiver.reports):
        assert (report.ssrc, report.fraction_lost, report.packets_lost) == (5, 64, -2)
        assert (report.highest_sequence, report.jitter) == (70_000, 17)
        assert (report.lsr, report.dlsr) == (0x11223344, 65_536)
    assert isinstance(description, aiortc.rtp.RtcpSdesPacket)
    assert description.chunks[0].items == [(1, b"abc")]
    assert isinstance(nack, aiortc.rtp.RtcpRtpfbPacket)
    # It does not wrap them.
    assert sorted(number & 0xFFFF for number in nack.lost) == [0, 3, 500, 65_535]
    assert isinstance(remb, aiortc.rtp.RtcpPsfbPacket)
    assert aiortc.rtp.unpack_remb_fci(remb.fci) == (30_000, [2, 3])
    assert isinstance(goodbye, aiortc.rtp.RtcpByePacket)
    assert goodbye.sources == [1]
