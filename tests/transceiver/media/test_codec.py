import pytest

from transceiver.media.codec import (
    FRAME_BYTES,
    FRAME_SAMPLES,
    clock_rate,
    make_decoder,
    make_encoder,
)
from transceiver.media.errors import CodecError
from transceiver.plan import Codec, Format


@pytest.mark.parametrize("codec", Codec)
def test_every_codec_goes_both_ways(codec: Codec) -> None:
    encoder, decoder = make_encoder(Format(codec, 96)), make_decoder(codec)
    payload = encoder.encode(bytes(FRAME_BYTES))
    decoded = b"".join(decoder.decode(payload) for _ in range(50))
    assert decoder.duration(payload) == FRAME_SAMPLES
    assert abs(len(decoded) - 50 * FRAME_BYTES) < FRAME_BYTES
    assert len(decoder.conceal(FRAME_SAMPLES)) == FRAME_BYTES
    assert decoder.recover(payload, FRAME_SAMPLES) is None
    with pytest.raises(CodecError):
        decoder.decode(b"")


def test_clock_rates_are_those_of_their_rfcs() -> None:
    assert {codec: clock_rate(codec) for codec in Codec} == {
        Codec.OPUS: 48_000,
        Codec.PCMU: 8_000,
        Codec.PCMA: 8_000,
    }


def test_the_client_says_how_it_wants_opus() -> None:
    constant = make_encoder(Format(Codec.OPUS, 111, {"cbr": "1", "maxaveragebitrate": "16000"}))
    assert {len(constant.encode(bytes(FRAME_BYTES))) for _ in range(10)} == {40}
