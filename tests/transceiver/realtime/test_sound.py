"""Formats of sound and the input buffer."""

import base64

import numpy as np
import pytest

from transceiver.realtime.errors import EventError
from transceiver.realtime.sound import (
    BYTES_PER_MS,
    MAX_G711,
    PCM,
    InputBuffer,
    audio_format,
    decoded,
    decoder,
    encoder,
)

TONE = (8000 * np.sin(np.arange(24_000) * 2 * np.pi * 440 / 24_000)).astype("<i2").tobytes()


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_a_tone_comes_through_g711(name: str) -> None:
    form = audio_format({"type": name}, "format")
    coded = encoder(form)(TONE)
    assert len(coded) == pytest.approx(8000, abs=30)
    back = np.frombuffer(decoder(form)(coded), "<i2")
    assert len(back) == pytest.approx(24_000, abs=200)
    loudness = np.sqrt(np.mean(back[2000:-2000].astype(float) ** 2))
    assert loudness == pytest.approx(8000 / np.sqrt(2), rel=0.05)


def test_pcm_is_as_it_is_in_whole_samples() -> None:
    assert decoder(PCM)(TONE) == encoder(PCM)(TONE) == TONE
    with pytest.raises(ValueError, match="two bytes"):
        decoder(PCM)(TONE[1:])


def test_too_much_g711_at_a_time_is_refused() -> None:
    decode = decoder({"type": "audio/pcmu"})
    with pytest.raises(ValueError, match="at most"):
        decode(bytes(MAX_G711 + 1))
    assert decode(bytes(8))


def test_sound_of_an_event_is_base64() -> None:
    assert decoded({"audio": base64.b64encode(b"ab").decode()}, "audio") == b"ab"
    for wrong in ({}, {"audio": "%"}, {"audio": "ä"}, {"audio": 5}):
        with pytest.raises(EventError):
            decoded(wrong, "audio")


def test_the_buffer_counts_all_sound_that_ever_came() -> None:
    buffer = InputBuffer()
    buffer.append(bytes(100 * BYTES_PER_MS), most=80 * BYTES_PER_MS)
    assert (buffer.end_ms, buffer.kept_ms) == (100, 80)
    buffer.drop_before(10)
    assert buffer.kept_ms == 80, "that was gone"
    buffer.drop_before(50)
    assert buffer.kept_ms == 50
    assert len(buffer.until(70)) == 20 * BYTES_PER_MS
    assert len(buffer.until(40)) == 0
    assert len(buffer.until(1000)) == 50 * BYTES_PER_MS
    assert len(buffer.take(70)) == 20 * BYTES_PER_MS
    assert len(buffer.take(60)) == 0
    assert len(buffer.take()) == 30 * BYTES_PER_MS
    assert (buffer.end_ms, len(buffer)) == (100, 0)
    buffer.drop_before(500)
    assert buffer.end_ms == 100
