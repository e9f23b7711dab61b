"""A voice to measure with, the same each time: voiced and unvoiced sounds, pitch, pauses."""

import numpy as np

RATE = 24_000
_FRAME = 480
STILL = bytes(2 * _FRAME)


def frames(count: int) -> list[bytes]:
    """So many frames of 20 ms, 960 bytes each."""
    chance = np.random.default_rng(13)
    total = count * _FRAME
    at = np.arange(total) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * at) + 10 * np.sin(2 * np.pi * 2.3 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = (
        500 + 200 * np.sin(2 * np.pi * 1.9 * at),
        1_500 + 500 * np.sin(2 * np.pi * 1.3 * at),
    )
    voiced = np.zeros(total)
    for harmonic in range(1, 30):
        hertz = harmonic * pitch
        strength = sum(1 / (1 + ((hertz - each) / 150) ** 2) for each in formants) + 0.05
        voiced += strength * np.sin(harmonic * phase)
    syllable = np.clip(np.sin(2 * np.pi * 3.1 * at), 0, None)
    hiss = np.clip(-np.sin(2 * np.pi * 3.1 * at), 0, None) * chance.normal(0, 0.4, total)
    pause = (np.sin(2 * np.pi * 0.15 * at) > -0.7) * 1.0
    line = 2_500 * pause * (syllable * voiced + hiss) + chance.normal(0, 15, total)
    pcm = np.clip(line, -32_000, 32_000).astype("<i2").tobytes()
    return [pcm[start : start + 2 * _FRAME] for start in range(0, len(pcm), 2 * _FRAME)]
