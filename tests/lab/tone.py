"""A tone as packets, and how loud packets are."""

import math
from collections.abc import Iterable

import numpy as np

from transceiver.media import rtp
from transceiver.media.codec import FRAME_SAMPLES, SAMPLE_RATE, make_decoder
from transceiver.media.errors import CodecError, RtpError
from transceiver.media.opus import OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.plan import Codec

_CODECS = {111: Codec.OPUS, 0: Codec.PCMU}


def tone(hertz: float = 440.0, seconds: float = 1.0, peak: int = 8000) -> list[bytes]:
    """Opus packets of 20 ms, which can be sent again and again."""
    encoder = OpusEncoder(OpusSettings())
    count = round(seconds * SAMPLE_RATE / FRAME_SAMPLES)
    phase = 2 * math.pi * hertz * np.arange(count * FRAME_SAMPLES) / SAMPLE_RATE
    pcm = (peak * np.sin(phase)).astype("<i2").reshape(count, FRAME_SAMPLES)
    return [encoder.encode(frame.tobytes()) for frame in pcm]


def loudness(packets: Iterable[bytes]) -> list[float]:
    """The RMS of each RTP packet, in the offer's payload types of `ThinClient`; 0 for junk."""
    decoders = {number: make_decoder(codec) for number, codec in _CODECS.items()}
    found = []
    for each in packets:
        try:
            packet = rtp.parse(each)
            pcm = np.frombuffer(decoders[packet.payload_type].decode(packet.payload), "<i2")
        except (RtpError, CodecError, KeyError):
            found.append(0.0)
            continue
        found.append(float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))))
    return found
