import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from relay.wire.audiolevel import audio_level
from transceiver.media import ntp, rtp
from transceiver.media.codec import make_decoder
from transceiver.media.opus import has_fec
from transceiver.media.sender import AUDIO_LEVEL, MID, Sender, level
from transceiver.media.transportcc import URI
from transceiver.plan import AudioPlan, Codec, Format

OPUS = Format(Codec.OPUS, 111, {"useinbandfec": "1"})
PLAN = AudioPlan(
    mid="0",
    transport=0,
    formats=(OPUS,),
    events={48_000: 110, 8_000: 126},
    extensions={AUDIO_LEVEL: 1, MID: 4, URI: 3},
    feedback=frozenset({"nack", "transport-cc"}),
    receive=True,
    send=True,
)
SILENCE = bytes(960)


def sender(plan: AudioPlan = PLAN) -> Sender:
    return Sender(plan, 0x1234, random.Random(13).getrandbits, 0.0)


def voice(index: int, loudness: float = 8_000) -> bytes:
    at = np.arange(480 * index, 480 * (index + 1)) / 24_000
    return (loudness * np.sin(2 * np.pi * 200 * at)).astype("<i2").tobytes()


def spoken(
    speaker: Sender, frames: list[bytes | None], start: float = 0.0
) -> list[rtp.Packet | None]:
    packets = [speaker.speak(frame, start + 0.02 * at) for at, frame in enumerate(frames)]
    return [None if packet is None else rtp.parse(packet) for packet in packets]


def some(packets: list[rtp.Packet | None]) -> list[rtp.Packet]:
    return [packet for packet in packets if packet is not None]


def test_packets_follow_each_other_in_number_and_time() -> None:
    packets = some(spoken(sender(), [voice(index) for index in range(50)]))
    assert len(packets) == 50
    assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(0x1234, 111)}
    for before, after in pairwise(packets):
        assert after.sequence == before.sequence + 1 & 0xFFFF
        assert after.timestamp == before.timestamp + 960 & 0xFFFF_FFFF


def test_the_first_number_is_in_the_lower_half_and_all_is_random() -> None:
    first = [
        rtp.parse(Sender(PLAN, 1, random.Random(seed).getrandbits, 0.0).speak(voice(0), 0.0) or b"")
        for seed in range(50)
    ]
    assert all(packet.sequence < 2**15 for packet in first)
    assert len({packet.timestamp for packet in first}) == 50


def test_numbers_and_time_wrap() -> None:
    speaker = Sender(PLAN, 1, lambda bits: 2**bits - 1, 0.0)
    packets = some(spoken(speaker, [voice(index) for index in range(5)]))
    assert [packet.sequence for packet in packets] == [32767, 32768, 32769, 32770, 32771]
    assert packets[1].timestamp == 959


def test_only_the_first_packet_after_silence_has_the_marker() -> None:
    frames = [voice(0), voice(1), *[None] * 8, voice(2), voice(3)]
    packets = spoken(sender(), frames)
    assert [packet and packet.marker for packet in packets] == [
        *(True, *[False] * 6, None, None, None, True, False)
    ]
    talk = some(packets)
    assert talk[7].sequence == talk[6].sequence + 1
    assert talk[7].timestamp - talk[6].timestamp & 0xFFFF_FFFF == 4 * 960


def test_the_last_sound_is_followed_by_silence() -> None:
    """Otherwise a receiver takes the end for a loss, and makes the last sound up."""
    talk = some(spoken(sender(), [*map(voice, range(10)), *[None] * 50]))
    assert len(talk) == 15
    decoder = make_decoder(Codec.OPUS)
    peaks = [np.abs(np.frombuffer(decoder.decode(each.payload), "<i2")).max() for each in talk]
    assert min(peaks[1:10]) > 4_000
    assert max(peaks[12:]) < 50  # the first two have what the codec still has of the sound
    assert [each.extensions[1] for each in talk[10:]] == [bytes((127,))] * 5


def test_a_short_gap_is_no_silence() -> None:
    packets = spoken(sender(), [voice(0), None, None, voice(1), *[None] * 8])
    assert [packet and packet.marker for packet in packets] == [
        *(True, *[False] * 8, None, None, None)
    ]


def test_nothing_follows_what_may_not_be_sent() -> None:
    speaker = sender()
    spoken(speaker, [voice(0)])
    speaker.update(replace(PLAN, send=False), 0.02)
    assert not some(spoken(speaker, [None] * 3, start=0.02))
    speaker.update(PLAN, 0.08)
    assert not some(spoken(speaker, [None] * 3, start=0.08))


def test_time_goes_on_when_nobody_calls_for_a_while() -> None:
    speaker = sender()
    first = some(spoken(speaker, [voice(0), *[None] * 6]))[0]
    (second,) = some(spoken(speaker, [voice(1)], start=10.0))
    assert second.timestamp - first.timestamp & 0xFFFF_FFFF == 500 * 960
    uneven = [speaker.speak(voice(2), 10.0 + 0.02 * at + 0.015 * (at % 2)) for at in range(1, 20)]
    times = [rtp.parse(packet or b"").timestamp for packet in uneven]
    assert {b - a & 0xFFFF_FFFF for a, b in pairwise(times)} == {960}


def test_uneven_calls_do_not_bend_time() -> None:
    speaker, places = sender(), []
    for at in range(80):
        frame = None if at % 10 else voice(at)
        packet = speaker.speak(frame, 0.02 * at + 0.03 * (at % 8 == 4))
        if packet is not None:
            places.append((at, rtp.parse(packet).timestamp))
    assert {place for place, _ in places} >= {0, 20, 60}
    assert {stamp - 960 * place & 0xFFFF_FFFF for place, stamp in places} == {places[0][1]}


def test_dtx_leaves_gaps_and_marks_what_comes_after() -> None:
    plan = replace(PLAN, formats=(Format(Codec.OPUS, 111, {"usedtx": "1"}),))
    speaker = sender(plan)
    frames = [*map(voice, range(10)), *[SILENCE] * 60, *map(voice, range(10))]
    packets = spoken(speaker, frames)  # type: ignore[arg-type]
    assert packets[40:60].count(None) > 15
    assert all(packets[72:])
    talk = some(packets)
    marked = [packet for packet in talk if packet.marker]
    assert talk[0] in marked
    assert len(marked) >= 2
    assert speaker.packets == len(talk)
    base = talk[0].timestamp
    for at, packet in enumerate(packets):
        if packet is not None:
            assert packet.timestamp - base & 0xFFFF_FFFF == 960 * at


@pytest.mark.parametrize(("ptime", "frames"), [(10, 1), (20, 1), (40, 2), (60, 3), (120, 3)])
def test_packets_are_as_long_as_the_client_wants(ptime: int, frames: int) -> None:
    packets = spoken(sender(replace(PLAN, ptime=ptime)), [voice(index) for index in range(12)])
    talk = some(packets)
    assert len(talk) == 12 // frames
    assert [packet.marker for packet in talk] == [True] + [False] * (len(talk) - 1)
    decoder = make_decoder(Codec.OPUS)
    assert {decoder.duration(packet.payload) for packet in talk} == {480 * frames}
    assert talk[1].timestamp - talk[0].timestamp & 0xFFFF_FFFF == 960 * frames


def test_the_end_of_speech_is_not_held_back() -> None:
    packets = spoken(sender(replace(PLAN, ptime=60)), [voice(0), None, None, None])
    assert [packet is not None for packet in packets] == [False, False, True, False]


def test_g711_has_a_clock_of_8_khz() -> None:
    plan = replace(PLAN, formats=(Format(Codec.PCMU, 0), OPUS))
    packets = some(spoken(sender(plan), [voice(index) for index in range(5)]))
    assert {(packet.payload_type, len(packet.payload)) for packet in packets[1:]} == {(0, 160)}
    assert packets[1].timestamp - packets[0].timestamp & 0xFFFF_FFFF == 160


def test_header_extensions() -> None:
    speaker = sender()
    first, second = some(spoken(speaker, [voice(0), SILENCE]))
    assert first.extensions[4] == b"0"
    assert first.extensions[1][0] == 0x80 | -audio_level(memoryview(voice(0)), 480)
    assert second.extensions[1] == b"\x7f"
    assert [packet.extensions[3] for packet in (first, second)] == [b"\0\0", b"\0\1"]
    speaker.acknowledged = True
    (third,) = some(spoken(speaker, [voice(0)]))
    assert 4 not in third.extensions
    (plain,) = some(spoken(sender(replace(PLAN, extensions={})), [voice(0)]))
    assert plain.extensions == {}


@pytest.mark.parametrize("loudness", [32_767, 3_000, 100, 20, 1])
def test_the_level_is_that_of_rfc_6465(loudness: float) -> None:
    pcm = voice(0, loudness)
    quiet = level(pcm)[0]
    assert -(quiet & 0x7F) == audio_level(memoryview(pcm), 480)
    assert bool(quiet & 0x80) == (quiet & 0x7F <= 50)


def test_nothing_is_sent_to_a_client_that_wants_nothing() -> None:
    speaker = sender()
    spoken(speaker, [voice(0)])
    speaker.update(replace(PLAN, send=False), 1.0)
    assert spoken(speaker, [voice(1), None, voice(2)]) == [None, None, None]
    speaker.update(PLAN, 2.0)
    (packet,) = some(spoken(speaker, [voice(3)], start=2.0))
    assert packet.marker


def test_another_codec_goes_on_in_the_same_stream() -> None:
    speaker = sender()
    (before,) = some(spoken(speaker, [voice(0)]))
    speaker.update(replace(PLAN, formats=(Format(Codec.PCMA, 8), OPUS)), 1.0)
    (after,) = some(spoken(speaker, [voice(1)], start=1.0))
    assert (after.payload_type, after.marker) == (8, True)
    assert after.sequence == before.sequence + 1
    assert after.ssrc == before.ssrc


def test_a_shorter_packet_time_in_mid_packet() -> None:
    speaker = sender(replace(PLAN, ptime=60))
    assert spoken(speaker, [voice(0), voice(1)]) == [None, None]
    speaker.update(PLAN, 0.04)
    packets = some(spoken(speaker, [voice(2), voice(3)], start=0.04))
    assert packets[1].timestamp - packets[0].timestamp & 0xFFFF_FFFF == 3 * 960


def test_keys_are_sent_in_place_of_sound() -> None:
    speaker = sender()
    spoken(speaker, [voice(0)])
    assert speaker.press("7", 0.1)
    packets = some(spoken(speaker, [voice(index) for index in range(20)], start=0.02))
    keys = [packet for packet in packets if packet.payload_type == 110]
    assert len(packets) == 20
    assert len(keys) == 7
    assert len({packet.timestamp for packet in keys}) == 1
    assert [packet.sequence - packets[0].sequence for packet in packets] == list(range(20))
    assert packets[7].timestamp - keys[0].timestamp & 0xFFFF_FFFF == 7 * 960
    assert not sender(replace(PLAN, events={8_000: 126})).press("7", 0.1)


def test_loss_turns_fec_on_in_what_is_sent() -> None:
    speaker = sender()
    quiet = some(spoken(speaker, [voice(index) for index in range(20)]))
    assert not any(has_fec(packet.payload) for packet in quiet)
    speaker.control.report(0.1, 1.0)
    noisy = some(spoken(speaker, [voice(index) for index in range(40)], start=1.0))
    assert sum(has_fec(packet.payload) for packet in noisy) > 20


def test_packets_are_sent_again_for_those_who_ask() -> None:
    speaker = sender()
    first = speaker.speak(voice(0), 0.0)
    assert first is not None
    number = rtp.parse(first).sequence
    assert speaker.again((number, number + 1), 0.05, 0.1) == [first]
    assert speaker.resent == 1
    deaf = sender(replace(PLAN, feedback=frozenset()))
    deaf.speak(voice(0), 0.0)
    assert deaf.again((number,), 0.05, 0.1) == []


def test_a_report_says_what_was_sent_and_which_time_it_is() -> None:
    speaker = sender()
    assert speaker.report(0.0) is None
    talk = some(spoken(speaker, [*map(voice, range(5)), *[None] * 20]))
    report = speaker.report(0.68)
    assert report is not None
    assert (report.ssrc, report.packets) == (0x1234, 10)
    assert report.octets == sum(len(packet.payload) for packet in talk)
    assert report.ntp == ntp.timestamp(0.68)
    # Half a second after the last packet, which began 20 ms before.
    assert report.timestamp - talk[-1].timestamp & 0xFFFF_FFFF == pytest.approx(24_960, abs=2)
    assert speaker.report(10.0) is None


def test_a_stream_begins_with_silence_before_there_is_anything_to_hear() -> None:
    begun = some(spoken(sender(), [None] * 20))
    assert [packet.marker for packet in begun] == [True, False, False, False, False]
    decoder = make_decoder(Codec.OPUS)
    heard = b"".join(decoder.decode(packet.payload) for packet in begun)
    assert not any(heard)
