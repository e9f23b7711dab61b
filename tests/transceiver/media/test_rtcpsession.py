import random
from dataclasses import replace

import pytest

from transceiver.media import ntp, rtcp, rtcpwrite, rtp
from transceiver.media.reception import Reception
from transceiver.media.rtcp import LastReport, ReportBlock
from transceiver.media.rtcpsession import RtcpSession
from transceiver.media.sender import Sender
from transceiver.media.transportcc import URI, Feedback
from transceiver.plan import AudioPlan, Codec, Format

OURS, THEIRS = 0x1111, 0x2222
PLAN = AudioPlan(
    mid="0",
    transport=0,
    formats=(Format(Codec.OPUS, 111, {"useinbandfec": "1"}),),
    events={},
    extensions={URI: 3},
    feedback=frozenset({"nack", "transport-cc"}),
    receive=True,
    send=True,
)


class Call:
    """A sender with its RTCP."""

    def __init__(self, plan: AudioPlan = PLAN) -> None:
        chance = random.Random(13)
        self.sender = Sender(plan, OURS, chance.getrandbits, 0.0)
        self.reception = Reception()
        self.session = RtcpSession(
            OURS,
            "us",
            sender=self.sender,
            reception=self.reception,
            chance=chance.random,
            now=0.0,
        )
        self.session.reduced = True

    def speak(self, now: float) -> int:
        packet = self.sender.speak(bytes(960), now)
        assert packet is not None
        return rtp.parse(packet).sequence

    def next_report(self, start: float) -> tuple[float, tuple[rtcp.Message, ...]]:
        for step in range(200):
            data = self.session.packet({}, start + 0.02 * step)
            if data is not None and (messages := rtcp.parse(data).messages):
                return start + 0.02 * step, messages
        raise AssertionError("there was no report in 4 s")


def block(lost: float = 0.0, last_report: int = 0, delay: int = 0, ssrc: int = OURS) -> ReportBlock:
    return ReportBlock(ssrc, lost, 7, 100, 480, last_report, delay)


def receiver_report(*blocks: ReportBlock) -> bytes:
    return rtcpwrite.receiver_report(rtcp.ReceiverReport(THEIRS, blocks))


def test_who_speaks_sends_sender_reports_with_its_name() -> None:
    call = Call()
    call.speak(0.1)
    call.reception.add(THEIRS, 5, 0, 48_000, 0.1)
    now, (report, name) = call.next_report(0.1)
    assert isinstance(report, rtcp.SenderReport)
    assert (report.ssrc, report.packets, report.ntp) == (OURS, 1, ntp.timestamp(now))
    assert [each.ssrc for each in report.blocks] == [THEIRS]
    assert name == rtcp.Description({OURS: b"us"})


def test_who_listens_sends_receiver_reports_and_asks_for_the_round_trip() -> None:
    call = Call()
    now, (report, _, reference) = call.next_report(0.0)
    assert report == rtcp.ReceiverReport(OURS, ())
    assert reference == rtcp.ReferenceTime(OURS, ntp.timestamp(now))
    answer = LastReport(OURS, ntp.middle(ntp.timestamp(now)), ntp.delay(1.0))
    other = LastReport(7, 1, 2)
    call.session.receive(rtcpwrite.extended_report(THEIRS, None, [other, answer]), now + 1.08)
    assert call.session.round_trip == pytest.approx(0.08, abs=1e-3)


def test_the_round_trip_is_that_of_our_reports_and_smoothed() -> None:
    call = Call()
    call.speak(0.1)
    now, (report, *_) = call.next_report(0.1)
    assert isinstance(report, rtcp.SenderReport)
    stamp = ntp.middle(report.ntp)
    call.session.receive(receiver_report(block(0, stamp, ntp.delay(0.5))), now + 0.54)
    assert call.session.round_trip == pytest.approx(0.04, abs=1e-3)
    call.session.receive(receiver_report(block(0, stamp, ntp.delay(0.5))), now + 0.58)
    assert call.session.round_trip == pytest.approx(0.05, abs=1e-3)


def test_reports_about_us_tell_loss_and_jitter_and_that_we_are_heard() -> None:
    call = Call()
    call.session.receive(receiver_report(block(0.9, ssrc=9)), 1.0)
    assert (call.session.lost_by_client, call.sender.acknowledged) == (None, False)
    call.session.receive(receiver_report(block(0.1)), 1.0)
    assert (call.session.lost_by_client, call.sender.acknowledged) == (7, True)
    assert call.session.jitter_at_client == 0.01
    assert call.sender.control.settings.fec


def test_the_client_gets_the_answers_for_its_round_trip() -> None:
    call = Call()
    call.speak(0.1)
    call.reception.add(THEIRS, 5, 0, 48_000, 0.1)
    sent = rtcp.SenderReport(THEIRS, ntp.timestamp(500.0), 0, 0, 0, ())
    call.session.receive(
        rtcpwrite.sender_report(sent) + rtcpwrite.extended_report(THEIRS, ntp.timestamp(600.0)),
        0.2,
    )
    now, (report, _, answers) = call.next_report(0.2)
    assert isinstance(report, rtcp.SenderReport)
    held = ntp.delay(now - 0.2)
    assert report.blocks[0][-2:] == (500 << 16, held)
    assert answers == rtcp.LastReports(OURS, (LastReport(THEIRS, 600 << 16, held),))


def test_what_the_client_misses_it_gets_again() -> None:
    call = Call()
    number = call.speak(0.1)
    asks = rtcpwrite.nack(THEIRS, OURS, [number, number + 5])
    (again,) = call.session.receive(asks, 0.15)
    assert rtp.parse(again).sequence == number
    assert call.session.receive(rtcpwrite.nack(THEIRS, 9, [number]), 0.5) == []
    assert call.session.counts["rtcp_nack"] == 2


def test_remb_and_feedback_reach_the_bitrate() -> None:
    call = Call()
    call.session.receive(rtcpwrite.remb(THEIRS, 30_000, [9]), 1.0)
    assert call.sender.control.settings.bitrate == 32_000
    call.session.receive(rtcpwrite.remb(THEIRS, 30_000, [OURS]), 1.0)
    assert call.sender.control.settings.bitrate == 18_000
    for at in range(100):
        call.speak(0.02 * at)
    lost = Feedback(THEIRS, OURS, 0, 0, (None,) * 20 + (1.0,) * 80)
    call.session.receive(rtcpwrite.transport_feedback(lost), 2.1)
    assert call.sender.control.loss == pytest.approx(0.2)


@pytest.mark.parametrize("reduced", [True, False])
def test_nack_and_feedback_do_not_wait_for_a_report(reduced: bool) -> None:
    call = Call()
    call.session.reduced = reduced
    call.session.heard(THEIRS)
    call.next_report(0.0)
    now = 0.9
    call.session.arrivals.add(7, now)
    data = call.session.packet({THEIRS: [5, 6], 9: []}, now)
    assert data is not None
    messages = rtcp.parse(data).messages
    if not reduced:
        assert messages[:2] == (rtcp.ReceiverReport(OURS, ()), rtcp.Description({OURS: b"us"}))
        messages = messages[2:]
    nack, feedback = messages
    assert nack == rtcp.Nack(OURS, THEIRS, (5, 6))
    assert isinstance(feedback, Feedback)
    assert (feedback.media, feedback.base, len(feedback.arrivals)) == (THEIRS, 7, 1)


def test_reports_come_about_once_a_second() -> None:
    call = Call()
    count = sum(call.session.packet({}, 0.02 * step) is not None for step in range(3_000))
    assert 50 <= count <= 100


def test_goodbye_ends_our_stream() -> None:
    call = Call()
    call.speak(0.1)
    messages = rtcp.parse(call.session.goodbye(0.2)).messages
    assert isinstance(messages[0], rtcp.SenderReport)
    assert messages[-1] == rtcp.Goodbye((OURS,))


def test_what_the_client_sends_is_counted() -> None:
    call = Call()
    whole = receiver_report()
    call.session.receive(b"\x80\x00", 1.0)
    call.session.receive(whole + rtcpwrite.packet(204, 0, bytes(8)), 1.0)
    call.session.receive(whole + b"\x80", 1.0)
    call.session.receive(whole + rtcpwrite.goodbye(THEIRS), 1.0)
    assert call.session.counts == {
        "rtcp_malformed": 1,
        "rtcp": 3,
        "rtcp_unknown": 1,
        "rtcp_broken": 1,
        "rtcp_bye": 1,
    }


def test_times_of_ever_new_streams_are_bounded() -> None:
    call = Call(replace(PLAN, send=False))
    for ssrc in range(1_000):
        call.session.receive(rtcpwrite.extended_report(ssrc, 2**40), 1.0 + ssrc)
    data = call.session.goodbye(1_000.0)
    assert len(data) < 600


def test_a_flood_costs_no_more_than_a_second_of_it() -> None:
    call = Call()
    for _ in range(1_000):
        call.session.receive(receiver_report(), 1.0)
    assert call.session.counts == {"rtcp": 50, "rtcp_too_many": 950}
    for tick in range(50):
        call.session.receive(receiver_report(), 1.1 + 0.02 * tick)
    assert call.session.counts["rtcp"] == 100
