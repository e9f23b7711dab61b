import ctypes
import gc
import math
import random
import tracemalloc

import numpy as np
import pytest

from transceiver.media.errors import CodecError
from transceiver.media.libopus import candidates, library
from transceiver.media.opus import MAX_PAYLOAD, OpusDecoder, OpusEncoder, duration, has_fec
from transceiver.media.opussettings import OpusSettings

FEC = OpusSettings(fec=True, loss=20, bitrate=24_000)


def tone(samples: int, hertz: float = 300, start: int = 0) -> bytes:
    at = np.arange(start, start + samples)
    return (8_000 * np.sin(2 * np.pi * hertz * at / 24_000)).astype("<i2").tobytes()


def syllables(frame: int) -> bytes:
    """A voice-like buzz that goes up and down, so that frames differ."""
    at = np.arange(frame * 480, (frame + 1) * 480) / 24_000
    buzz = sum(np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20))
    return (4_000 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * at))).astype("<i2").tobytes()


def power(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


def encoded(settings: OpusSettings, frames: int) -> list[bytes]:
    encoder = OpusEncoder(settings)
    return [encoder.encode(syllables(index)) for index in range(frames)]


@pytest.mark.parametrize("settings", [OpusSettings(), FEC, OpusSettings(bitrate=12_000)])
def test_a_tone_comes_back_as_loud_as_it_was(settings: OpusSettings) -> None:
    encoder, decoder = OpusEncoder(settings), OpusDecoder()
    heard = b"".join(
        decoder.decode(encoder.encode(tone(480, start=480 * index))) for index in range(50)
    )
    assert len(heard) == 50 * 960
    assert power(heard[9600:]) == pytest.approx(8_000 / math.sqrt(2), rel=0.1)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_packets_of_20_40_and_60_ms(frames: int) -> None:
    payload = OpusEncoder(OpusSettings()).encode(tone(480 * frames))
    assert duration(payload) == 480 * frames
    assert len(OpusDecoder().decode(payload)) == 960 * frames


def test_durations_are_those_of_libopus() -> None:
    count = library()["opus_packet_get_nb_samples"]
    count.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    for first in range(256):
        for second in (0, 1, 2, 3, 6, 12, 48, 49, 63, 0x81, 0xC3):
            payload = bytes((first, second)) + bytes(200)
            expected = count(payload, len(payload), 24_000)
            if 0 < expected <= 2880:
                assert duration(payload) == expected
            else:
                with pytest.raises(CodecError):
                    duration(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"\x03", b"\x03\x00", b"\xff\xff", b"\x1b\x30", bytes(MAX_PAYLOAD + 1)]
)
def test_an_impossible_packet_is_refused(payload: bytes) -> None:
    with pytest.raises(CodecError):
        duration(payload)
    with pytest.raises(CodecError):
        OpusDecoder().decode(payload)
    assert OpusDecoder().recover(payload, 480) is None
    assert OpusDecoder().carries(payload) == 0


def test_garbage_is_audio_or_a_codec_error_and_the_decoder_lives_on() -> None:
    chance = random.Random(13)
    decoder = OpusDecoder()
    good = encoded(FEC, 3)
    refused = 0
    for _ in range(2_000):
        payload = chance.randbytes(chance.choice([1, 2, 3, 20, 80, 1400]))
        try:
            assert len(decoder.decode(payload)) == 2 * duration(payload)
        except CodecError:
            refused += 1
        recovered = decoder.recover(payload, 480)
        assert recovered is None or len(recovered) == 960
        assert (recovered is None) is (decoder.carries(payload) == 0)
    assert 0 < refused < 2_000
    for payload in good:
        assert len(decoder.decode(payload)) == 960


@pytest.mark.parametrize("samples", [1, 60, 480, 481, 2880, 5000])
def test_a_hole_of_any_length_is_concealed(samples: int) -> None:
    decoder = OpusDecoder()
    for payload in encoded(OpusSettings(), 10):
        decoder.decode(payload)
    assert len(decoder.conceal(samples)) == 2 * samples


def test_concealment_goes_on_with_the_sound_and_fades() -> None:
    decoder = OpusDecoder()
    for payload in encoded(FEC, 20):
        sound = decoder.decode(payload)
    assert power(decoder.conceal(480)) > 0.3 * power(sound)
    decoder.conceal(24_000)
    assert power(decoder.conceal(480)) < 0.1 * power(sound)


def test_a_lost_frame_is_recovered_from_the_next() -> None:
    packets = encoded(FEC, 40)
    whole = OpusDecoder()
    complete = [whole.decode(payload) for payload in packets]
    broken = OpusDecoder()
    for payload in packets[:30]:
        broken.decode(payload)
    recovered = broken.recover(packets[31], 480)
    assert recovered is not None
    likeness = np.corrcoef(np.frombuffer(recovered, "<i2"), np.frombuffer(complete[30], "<i2"))
    assert likeness[0, 1] > 0.9


@pytest.mark.parametrize("samples", [240, 480, 960, 2880, 4000])
def test_what_is_recovered_is_as_long_as_was_asked_for(samples: int) -> None:
    recovered = OpusDecoder().recover(encoded(FEC, 40)[-1], samples)
    assert recovered is not None
    assert len(recovered) == 2 * samples


def test_what_is_recovered_is_what_comes_just_before_the_packet() -> None:
    payload = encoded(FEC, 40)[-1]
    whole, half = OpusDecoder().recover(payload, 480), OpusDecoder().recover(payload, 240)
    assert whole is not None
    assert half == whole[480:]
    assert any(half)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_packet_has_as_much_along_as_its_frame_lasts(frames: int) -> None:
    encoder = OpusEncoder(FEC)
    made = [
        encoder.encode(b"".join(syllables(index + part) for part in range(frames)))
        for index in range(0, 120, frames)
    ]
    assert {OpusDecoder().carries(each) for each in made} == {0, 480 * frames}


def test_nothing_is_recovered_from_a_packet_without_its_predecessor() -> None:
    assert not any(map(has_fec, encoded(OpusSettings(), 20)))
    assert OpusDecoder().recover(encoded(OpusSettings(), 20)[-1], 480) is None


def test_what_has_fec_is_what_libopus_says() -> None:
    # It came with libopus 1.4, which PyAV has if the system has not.
    judges = [
        library["opus_packet_has_lbrr"]
        for library in map(ctypes.CDLL, candidates())
        if hasattr(library, "opus_packet_has_lbrr")
    ]
    judge = judges[0]
    judge.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    chance = random.Random(13)
    payloads = [chance.randbytes(chance.randint(1, 60)) for _ in range(3_000)]
    for payload in payloads + encoded(FEC, 40):
        assert has_fec(payload) == (judge(payload, len(payload)) == 1)


def test_fec_is_in_speech_when_it_is_asked_for() -> None:
    assert sum(map(has_fec, encoded(FEC, 40))) > 30
    little = OpusSettings(fec=True, loss=5, bitrate=40_000)
    assert sum(map(has_fec, encoded(little, 40))) > 20


def test_settings_change_while_it_runs() -> None:
    encoder = OpusEncoder(OpusSettings(bitrate=16_000))
    low = sum(len(encoder.encode(syllables(index))) for index in range(50))
    encoder.configure(OpusSettings(bitrate=64_000))
    high = sum(len(encoder.encode(syllables(index))) for index in range(50, 100))
    assert low < 2_500
    assert high > 2.5 * low
    encoder.configure(FEC)
    assert any(has_fec(encoder.encode(syllables(index))) for index in range(100, 120))


def test_between_its_two_coders_the_sound_has_no_gap() -> None:
    encoder, decoder = OpusEncoder(OpusSettings()), OpusDecoder()
    loud = []
    for index in range(120):
        if index % 30 == 0:
            encoder.configure(FEC if index % 60 else OpusSettings())
        loud.append(power(decoder.decode(encoder.encode(tone(480, start=480 * index)))))
    assert min(loud[5:]) > 0.8 * 8_000 / math.sqrt(2)
    assert max(loud[5:]) < 1.2 * 8_000 / math.sqrt(2)


def test_silence_is_not_sent_with_dtx() -> None:
    encoder = OpusEncoder(OpusSettings(dtx=True))
    for index in range(20):
        assert encoder.encode(syllables(index))
    sent = sum(bool(encoder.encode(bytes(960))) for _ in range(100))
    assert sent < 40
    assert encoder.encode(syllables(20))
    always = OpusEncoder(OpusSettings())
    assert all(always.encode(bytes(960)) for _ in range(100))


def test_packets_have_one_size_with_cbr() -> None:
    assert len({len(payload) for payload in encoded(OpusSettings(cbr=True), 50)}) == 1
    assert len({len(payload) for payload in encoded(OpusSettings(), 50)}) > 1


def test_a_frame_that_is_none_is_refused() -> None:
    with pytest.raises(CodecError, match="refuses"):
        OpusEncoder(OpusSettings()).encode(bytes(962))


def test_coders_leave_nothing() -> None:
    def many(count: int) -> None:
        for _ in range(count):
            decoder, encoder = OpusDecoder(), OpusEncoder(OpusSettings())
            decoder.decode(encoder.encode(tone(480)))

    many(10)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        many(200)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
