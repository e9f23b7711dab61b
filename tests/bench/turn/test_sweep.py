"""A pitch tells how far a tone was heard."""

import numpy as np
import pytest

from tests.bench.turn.sweep import heard_ms, is_silent, sweep
from transceiver.media.codec import FRAME_BYTES, SAMPLE_RATE, make_decoder
from transceiver.media.opus import OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.plan import Codec

SOUND = np.frombuffer(sweep(3.0), "<i2")


@pytest.mark.parametrize("at", [20, 500, 1_234, 2_900])
def test_the_pitch_is_the_place(at: int) -> None:
    around = SOUND[(at - 20) * 24 : (at + 20) * 24]
    assert heard_ms(around, SAMPLE_RATE) == pytest.approx(at, abs=1)


def test_what_a_codec_makes_of_it_tells_as_well() -> None:
    encoder, decoder = OpusEncoder(OpusSettings()), make_decoder(Codec.OPUS)
    whole = SOUND.tobytes()
    frames = [whole[at : at + FRAME_BYTES] for at in range(0, len(whole), FRAME_BYTES)]
    played = np.frombuffer(b"".join(decoder.decode(encoder.encode(each)) for each in frames), "<i2")
    around = played[980 * 24 : 1_020 * 24]
    assert heard_ms(around, SAMPLE_RATE) == pytest.approx(1_000, abs=8)  # it delays by 2.5 to 6.5


def test_a_tone_that_is_too_short_tells_nothing() -> None:
    with pytest.raises(ValueError, match="no 20 ms"):
        heard_ms(SOUND[:400], SAMPLE_RATE)


def test_silence_is_far_below_the_tone() -> None:
    assert is_silent(SOUND[:0])
    assert is_silent((SOUND[:240] * 0.005).astype(np.int16))
    assert not is_silent((SOUND[:2400] * 0.05).astype(np.int16))
