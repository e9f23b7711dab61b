"""The speech that is sent, as samples and as packets."""

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from transceiver.media.codec import FRAME_SAMPLES, SAMPLE_RATE
from transceiver.media.opus import OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.media.rtp import Packet

PAYLOAD_TYPE = 111
CLOCK_RATE = 48_000
FEC = OpusSettings(fec=True, loss=10)  # as browsers send: speech with forward error correction
_SPEECH = Path(__file__).parents[3] / "relay/caller/speech.opus"
_SSRC = 0x1CE1A4E

Pcm = NDArray[np.int16]


@cache
def sentence() -> Pcm:
    """Some seconds of a voice, 24 kHz."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(_SPEECH)) as file:
        parts = [
            part.to_ndarray()[0]
            for frame in file.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.int16)


def speech(frames: int) -> Pcm:
    """The same again and again, for so many frames of 20 ms."""
    return np.resize(sentence(), frames * FRAME_SAMPLES)


def packets(pcm: Pcm, settings: OpusSettings = FEC) -> list[Packet]:
    """It, encoded with Opus, a packet for each 20 ms."""
    encoder = OpusEncoder(settings)
    return [
        Packet(
            PAYLOAD_TYPE,
            index & 0xFFFF,
            index * CLOCK_RATE // 50 & 0xFFFF_FFFF,
            _SSRC,
            encoder.encode(pcm[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES].tobytes()),
        )
        for index in range(len(pcm) // FRAME_SAMPLES)
    ]
