import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from transceiver.media import rtcp, rtcpwrite, rtp
from transceiver.media.audiopath import AudioPath
from transceiver.media.events import KeyPress
from transceiver.media.g711 import G711Encoder
from transceiver.media.opus import OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.media.sender import AUDIO_LEVEL, MID
from transceiver.media.transportcc import URI, Feedback
from transceiver.plan import AudioPlan, Codec, Format, Redundancy

OPUS = Format(Codec.OPUS, 111, {"useinbandfec": "1"})
PLAN = AudioPlan(
    mid="0",
    transport=0,
    formats=(OPUS, Format(Codec.PCMU, 0), Format(Codec.PCMA, 8)),
    events={48_000: 110, 8_000: 126},
    extensions={AUDIO_LEVEL: 1, MID: 4, URI: 3},
    feedback=frozenset({"nack", "transport-cc", "goog-remb"}),
    receive=True,
    send=True,
    reduced_rtcp=True,
    noise=13,
    redundancy=Redundancy(63, 111, preferred=False),
)
SERVER, CLIENT = 0x1111, 0x2222


def path(plan: AudioPlan = PLAN, ssrc: int = SERVER, chance: int = 13) -> AudioPath:
    return AudioPath(plan, ssrc=ssrc, cname="name", random=random.Random(chance), now=0.0)


def voice(index: int) -> bytes:
    at = np.arange(480 * index, 480 * (index + 1)) / 24_000
    buzz = np.sum([np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20)], axis=0)
    pcm: bytes = (6_000 * buzz * (0.7 + 0.3 * np.sin(6 * np.pi * at))).astype("<i2").tobytes()
    return pcm


def power(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


class Call:
    """Two paths with a line between them, on a clock of 20 ms."""

    def __init__(self, plan: AudioPlan = PLAN, *, loss: float = 0.0) -> None:
        self.server, self.client = path(plan), path(plan, CLIENT, 14)
        self.now = 0.0
        self.index = 0
        self.loud: list[float] = []
        self.keys: list[KeyPress] = []
        self._chance = random.Random(15)
        self._loss = loss
        self._line: list[tuple[float, AudioPath, bytes, bool]] = []

    def send(self, to: AudioPath, data: bytes | None, *, control: bool = False) -> None:
        if data is not None and (control or self._chance.random() >= self._loss):
            self._line.append((self.now + 0.02, to, data, control))

    def run(self, seconds: float, *, silent: bool = False) -> None:
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            arriving = [each for each in self._line if each[0] <= self.now + 1e-9]
            self._line = [each for each in self._line if each[0] > self.now + 1e-9]
            for _, to, data, control in arriving:
                if not control:
                    to.receive_rtp(data, self.now)
                    continue
                back = self.client if to is self.server else self.server
                for packet in to.receive_rtcp(data, self.now):
                    self.send(back, packet)
            heard = self.server.hear(self.now)
            assert len(heard.frame) == 960
            self.loud.append(power(heard.frame))
            self.keys += heard.events
            self.client.hear(self.now)
            frame = None if silent else voice(self.index)
            self.index += 1
            self.send(self.server, self.client.speak(frame, self.now))
            self.send(self.client, self.server.speak(frame, self.now))
            self.send(self.server, self.client.rtcp(self.now), control=True)
            self.send(self.client, self.server.rtcp(self.now), control=True)


@pytest.mark.parametrize("first", range(3))
def test_both_hear_each_other_in_every_codec(first: int) -> None:
    call = Call(replace(PLAN, formats=PLAN.formats[first:] + PLAN.formats[:first]))
    call.run(4.0)
    assert min(call.loud[10:]) > 500
    stats = call.server.stats()
    assert stats["received"] == 199
    assert (stats["lost"], stats["sent"], stats["lost_by_client"]) == (0, 200, 0)
    assert stats["round_trip"] == pytest.approx(0.04, abs=0.02)
    assert stats["jitter"] == pytest.approx(0, abs=0.001)
    assert not [name for name in stats if name.startswith(("rtp_", "rtcp_")) and stats[name]]


def test_loss_is_reported_recovered_and_fec_comes_on() -> None:
    call = Call(loss=0.1)
    call.run(20.0)
    stats = call.server.stats()
    assert stats["fec"]
    assert 60 < int(stats["lost"] or 0) < 140
    assert 60 < int(stats["lost_by_client"] or 0) < 140
    assert int(stats["playout_recovered"] or 0) > 30
    assert min(call.loud[500:]) > 500


def test_keys_are_heard_and_sound_goes_on() -> None:
    call = Call()
    call.run(1.0)
    assert call.client.press("5", 0.1)
    assert call.client.press("#", 0.2)
    call.run(2.0)
    assert [press.key for press in call.keys] == ["5", "#"]
    assert [press.duration for press in call.keys] == pytest.approx([0.1, 0.2])
    assert min(call.loud[-20:]) > 500


def test_a_key_whose_end_was_lost_is_told_all_the_same() -> None:
    server = path()
    packet = rtp.Packet(126, 1, 8_000, CLIENT, b"\x05\x0a\x03\x20")
    server.receive_rtp(packet.serialise(), 1.0)
    assert server.hear(1.1).events == ()
    assert server.hear(1.3).events == (KeyPress("5", 0.1),)


def test_a_new_stream_goes_on_and_a_goodbye_ends_nothing() -> None:
    call = Call()
    call.run(1.0)
    call.server.receive_rtcp(call.client.goodbye(call.now), call.now)
    call.run(1.0)
    call.client = path(ssrc=0x3333, chance=20)
    call.run(1.0)
    assert min(call.loud[-40:]) > 500
    assert call.server.stats()["rtcp_bye"] == 1
    assert call.server.stats()["streams"] == 2


def test_silence_is_sent_only_at_first_and_reports_go_on() -> None:
    call = Call()
    call.run(3.0, silent=True)
    assert call.server.stats()["sent"] == 5
    assert max(call.loud) == 0
    # Who only listens measures the round trip as well.
    assert call.server.stats()["round_trip"] == pytest.approx(0.04, abs=0.02)


def test_how_late_the_client_hears_is_estimated_from_its_reports() -> None:
    call = Call()
    assert call.server.delay == pytest.approx(0.09), "a guess at first"
    call.run(3.0)
    stats = call.server.stats()
    trip, jitter = stats["round_trip"], stats["jitter_at_client"]
    assert trip is not None
    assert jitter is not None
    assert call.server.delay == pytest.approx(trip / 2 + 0.04 + 2 * jitter)


def test_hold_and_resume() -> None:
    call = Call()
    call.run(1.0)
    call.server.update(replace(PLAN, send=False, receive=False), call.now)
    call.run(1.0)
    assert call.server.stats()["rtp_on_hold"] == 50
    assert max(call.loud[-20:]) == 0
    sent = call.server.stats()["sent"]
    call.server.update(PLAN, call.now)
    call.run(1.0)
    assert call.server.stats()["sent"] == int(sent or 0) + 50
    assert min(call.loud[-20:]) > 500


def test_what_is_refused_is_counted() -> None:
    server = path()
    ours = rtp.Packet(111, 1, 2, SERVER, b"x").serialise()
    unknown = rtp.Packet(99, 1, 2, CLIENT, b"x").serialise()
    for data in (b"", b"\x80", ours, unknown, unknown):
        server.receive_rtp(data, 0.0)
    server.receive_rtcp(b"junk", 0.0)
    stats = server.stats()
    assert stats["rtp_malformed"] == 2
    assert stats["rtp_our_ssrc"] == 1
    assert stats["rtp_unknown_payload_type"] == 1
    assert stats["rtp_without_transport_number"] == 2
    assert stats["duplicates"] == 1
    assert stats["rtcp_malformed"] == 1


def test_when_packets_came_is_told_by_their_transport_wide_numbers() -> None:
    server, client = path(), path(ssrc=CLIENT)
    for index in range(20):
        server.receive_rtp(client.speak(voice(index), 0.02 * index) or b"", 0.02 * index)
    messages = rtcp.parse(server.rtcp(0.4) or b"").messages
    (feedback,) = [message for message in messages if isinstance(message, Feedback)]
    assert (feedback.media, feedback.base, len(feedback.arrivals)) == (CLIENT, 0, 20)
    assert feedback.arrivals[10] == pytest.approx(0.2, abs=0.001)


def test_too_many_keys_are_dropped() -> None:
    server = path()
    for index in range(100):
        packet = rtp.Packet(126, index, 8_000 * index, CLIENT, b"\x05\x80\x03\x20")
        server.receive_rtp(packet.serialise(), 1.0)
    assert len(server.hear(1.0).events) == 32
    assert server.stats()["keys_too_many"] == 68


def test_payload_types_may_change_with_a_new_plan() -> None:
    call = Call()
    call.run(1.0)
    plan = replace(PLAN, formats=(replace(OPUS, payload_type=96),), redundancy=None)
    for each in (call.server, call.client):
        each.update(plan, call.now)
    call.run(1.0)
    assert min(call.loud[-20:]) > 500


def test_redundant_packets_are_opened_and_make_losses_good() -> None:
    server = path(replace(PLAN, redundancy=Redundancy(63, 111, preferred=True)))
    encoder = OpusEncoder(OpusSettings())
    frames = [encoder.encode(voice(index)) for index in range(100)]
    loud = []
    for index, (before, frame) in enumerate(pairwise(frames), start=1):
        header = b"\xef" + (960 << 10 | len(before)).to_bytes(3, "big") + b"\x6f"
        packet = rtp.Packet(63, index, 960 * index, CLIENT, header + before + frame)
        if index % 5:
            server.receive_rtp(packet.serialise(), 0.02 * index)
        loud.append(power(server.hear(0.02 * index + 0.007).frame))
    stats = server.stats()
    assert (stats["received"], stats["lost"]) == (80, 19)
    assert stats["rtp_redundant"] == 80
    assert float(stats["playout_recovered"] or 0) >= 15 * 480
    assert stats["playout_concealed"] == 0 or float(stats["playout_concealed"] or 0) <= 4 * 480
    assert 0.0 <= float(stats["concealed_share"] or 0) <= 4 / 76
    assert min(loud[20:]) > 500


def test_a_redundant_packet_that_cannot_be_read_costs_itself() -> None:
    server = path(replace(PLAN, redundancy=Redundancy(63, 111, preferred=True)))
    for index, payload in enumerate((b"", b"\xef", b"\xef\0\0\xff\x6f")):
        server.receive_rtp(rtp.Packet(63, index, 960 * index, CLIENT, payload).serialise(), 0.0)
    assert server.stats()["rtp_red_malformed"] == 2, "padding alone is none"
    assert power(server.hear(0.1).frame) == 0


def test_comfort_noise_is_heard_until_somebody_speaks() -> None:
    server = path(replace(PLAN, formats=(Format(Codec.PCMU, 0),), redundancy=None))
    encoder = G711Encoder(Codec.PCMU)
    levels = []
    for index in range(200):
        now = 0.02 * index
        packet = None
        if index < 50 or index >= 150:
            packet = rtp.Packet(0, index, 160 * index, CLIENT, encoder.encode(voice(index)))
        elif index == 50:
            packet = rtp.Packet(13, 50, 8_000, CLIENT, bytes((50,)))
        if packet is not None:
            packet.sequence -= 99 if index >= 150 else 0
            server.receive_rtp(packet.serialise(), now)
        levels.append(power(server.hear(now + 0.007).frame))
    noise = 32_767 * 10 ** (-50 / 20)
    assert all(0.7 * noise < each < 1.4 * noise for each in levels[60:140])
    assert min(levels[160:]) > 500
    assert server.stats()["lost"] == 0


payloads = st.binary(max_size=60) | st.sampled_from(
    [b"", b"\x03", b"\xff\xff", b"\x05\x80\x03\x20"]
)
rtp_packets = st.builds(
    lambda kind, sequence, timestamp, ssrc, payload, padding, elements, marker: (
        False,
        rtp.Packet(
            kind,
            sequence,
            timestamp,
            ssrc,
            payload,
            marker=marker,
            padding=padding,
            profile=(extensions := rtp.pack_extensions(elements))[0],
            block=extensions[1],
        ).serialise(),
    ),
    st.sampled_from([111, 0, 8, 110, 126, 13, 63, 99]),
    st.integers(0, 20) | st.integers(0, 65_535),
    st.integers(0, 2**32 - 1) | st.sampled_from([0, 960, 1_920]),
    st.sampled_from([CLIENT, CLIENT, 5, SERVER]),
    payloads,
    st.sampled_from([0, 0, 1, 255]),
    st.dictionaries(st.integers(1, 16), st.binary(max_size=4), max_size=3),
    st.booleans(),
)
u32 = st.integers(0, 2**32 - 1)
ssrcs = st.sampled_from([SERVER, CLIENT, 5])
blocks = st.builds(
    rtcp.ReportBlock, ssrcs, st.floats(0, 1), st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32
)
rtcp_packets = st.one_of(
    st.builds(rtcp.ReceiverReport, ssrcs, st.lists(blocks, max_size=3).map(tuple)).map(
        rtcpwrite.receiver_report
    ),
    st.builds(
        rtcp.SenderReport, ssrcs, u32, u32, u32, u32, st.lists(blocks, max_size=3).map(tuple)
    ).map(rtcpwrite.sender_report),
    st.builds(rtcpwrite.nack, ssrcs, ssrcs, st.lists(st.integers(0, 65_535), max_size=20)),
    st.builds(rtcpwrite.remb, ssrcs, st.integers(0, 2**40), st.lists(ssrcs, max_size=3)),
    st.builds(
        Feedback,
        *(ssrcs, ssrcs, st.integers(0, 65_535), st.integers(0, 255)),
        st.lists(st.none() | st.floats(-1e5, 1e5), max_size=30).map(tuple),
    ).map(rtcpwrite.transport_feedback),
    st.builds(rtcpwrite.goodbye, ssrcs),
    st.builds(
        rtcpwrite.extended_report,
        ssrcs,
        st.none() | u32,
        st.lists(st.builds(rtcp.LastReport, ssrcs, u32, u32), max_size=3),
    ),
).map(lambda data: (True, data))
damaged = st.builds(
    lambda packet, at, value, cut: (
        packet[0],
        (packet[1][: at % len(packet[1])] + bytes((value,)) + packet[1][at % len(packet[1]) + 1 :])[
            : len(packet[1]) - cut
        ],
    ),
    rtp_packets | rtcp_packets,
    st.integers(0, 200),
    st.integers(0, 255),
    st.sampled_from([0, 0, 0, 1, 9]),
)
junk = st.tuples(st.booleans(), st.binary(max_size=60))


@seed(13)
@settings(max_examples=300, deadline=None)
@given(st.lists(rtp_packets | rtcp_packets | damaged | junk, max_size=40))
def test_nothing_that_a_client_sends_raises_and_the_call_sounds_on(
    packets: list[tuple[bool, bytes]],
) -> None:
    call = Call()
    call.run(0.2)
    for control, data in packets:
        if control:
            call.server.receive_rtcp(data, call.now)
        else:
            call.server.receive_rtp(data, call.now)
        call.run(0.02)
    call.server.stats()
    call.run(0.8)
    assert min(call.loud[-10:]) > 500
    assert call.server.goodbye(call.now)


def test_the_share_of_what_was_made_up_is_one_of_all_that_was_heard() -> None:
    server = path(PLAN)
    assert server.stats()["concealed_share"] is None
    encoder = OpusEncoder(OpusSettings())
    for index in range(100):
        payload = encoder.encode(voice(index))
        if index % 2 == 0:
            packet = rtp.Packet(111, index, 960 * index, CLIENT, payload)
            server.receive_rtp(packet.serialise(), 0.02 * index)
        server.hear(0.02 * index + 0.007)
    share = float(server.stats()["concealed_share"] or 0)
    assert 0.3 < share < 0.6
