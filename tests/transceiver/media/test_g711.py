import random

import numpy as np
import pytest

from transceiver.media.errors import CodecError
from transceiver.media.g711 import MAX_PAYLOAD, G711Decoder, G711Encoder, decoding, encoding
from transceiver.plan import Codec

LAWS = [Codec.PCMU, Codec.PCMA]


def test_codes_that_itu_t_g711_lists() -> None:
    mu, a = decoding(Codec.PCMU), decoding(Codec.PCMA)
    assert [int(mu[code]) for code in (0x00, 0x80, 0x7F, 0xFF, 0x7E, 0xFE, 0x8F)] == [
        *(-32124, 32124, 0, 0, -8, 8, 16764)
    ]
    assert [int(a[code]) for code in (0xD5, 0x55, 0xAA, 0x2A, 0xD4, 0x80)] == [
        *(8, -8, 32256, -32256, 24, 5504)
    ]


@pytest.mark.parametrize("codec", LAWS)
def test_every_code_is_the_nearest_to_its_own_sample(codec: Codec) -> None:
    samples = decoding(codec)
    again = samples[encoding(codec)[samples.view(np.uint16)]]
    assert np.array_equal(again, samples)
    everything = np.arange(-32768, 32768).astype(np.int16)
    heard = samples[encoding(codec)[everything.view(np.uint16)]].astype(int)
    assert np.all(np.diff(heard) >= 0)
    assert np.all(np.abs(heard - everything) <= np.maximum(16, np.abs(everything.astype(int)) / 29))


@pytest.mark.parametrize("codec", LAWS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_tone_comes_back(codec: Codec, frames: int) -> None:
    at = np.arange(480 * 60)
    line = (8_000 * np.sin(2 * np.pi * 500 * at / 24_000)).astype("<i2").tobytes()
    encoder, decoder = G711Encoder(codec), G711Decoder(codec)
    size = 960 * frames
    heard = b"".join(
        decoder.decode(encoder.encode(line[at : at + size])) for at in range(0, len(line), size)
    )
    first, last = np.frombuffer(line, "<i2"), np.frombuffer(heard, "<i2")
    assert len(first) - len(last) < 72
    # Both filters together delay by 69 samples.
    likeness = np.corrcoef(first[2000:20_000], last[2069:20_069])[0, 1]
    assert likeness > 0.999


@pytest.mark.parametrize("codec", LAWS)
def test_any_bytes_of_a_possible_length_are_sound(codec: Codec) -> None:
    chance = random.Random(13)
    decoder = G711Decoder(codec)
    for size in (1, 2, 7, 80, 160, 161, MAX_PAYLOAD):
        payload = chance.randbytes(size)
        assert decoder.duration(payload) == 3 * size
        assert len(decoder.decode(payload)) == 6 * size


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_an_impossible_length_is_refused(size: int) -> None:
    with pytest.raises(CodecError):
        G711Decoder(Codec.PCMU).decode(bytes(size))


def test_a_hole_goes_on_with_the_sound() -> None:
    decoder, encoder = G711Decoder(Codec.PCMU), G711Encoder(Codec.PCMU)
    at = np.arange(480 * 10)
    line = (8_000 * np.sin(2 * np.pi * 150 * at / 24_000)).astype("<i2").tobytes()
    for start in range(0, len(line), 960):
        decoder.decode(encoder.encode(line[start : start + 960]))
    hole = np.frombuffer(decoder.conceal(240), "<i2").astype(float)
    assert np.sqrt(np.mean(hole**2)) == pytest.approx(8_000 / np.sqrt(2), rel=0.15)
