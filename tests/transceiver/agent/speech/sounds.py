"""Sound that tests make: speech by the agent's own engines, noise, tones. All PCM16 at 24 kHz."""

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

import relay.caller
from transceiver.agent.speech.engines import Engine, Espeak, Hibari
from transceiver.agent.speech.levels import RATE, Samples, evened

FRAME = 960  # bytes of 20 ms

# The low groups of keys and the high ones, in Hz (ITU-T Q.23).
_DTMF = {
    "1": (697, 1209),
    "5": (770, 1336),
    "9": (852, 1477),
    "0": (941, 1336),
    "#": (941, 1477),
}


@cache
def engine(name: str) -> Engine:
    return Hibari() if name == "hibari" else Espeak()


@cache
def speech(text: str, by: str = "hibari") -> bytes:
    """A sentence, without silence around it."""
    return evened(engine(by).say(text, engine(by).voices[0], 1.0), 0)


def recorded() -> bytes:
    """Five seconds of other speech: what `icelane call` plays."""
    parts = []
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(Path(relay.caller.__file__).with_name("speech.opus"))) as container:
        for frame in container.decode(audio=0):
            parts += [
                bytes(each.planes[0])[: 2 * each.samples] for each in resampler.resample(frame)
            ]
    return b"".join(parts)


def silence(seconds: float) -> bytes:
    return bytes(2 * round(RATE * seconds))


def noise(seconds: float, level: float, seed: int = 1) -> bytes:
    """White noise; the level is the root of the mean square, of full scale."""
    return pcm(np.random.default_rng(seed).normal(0, level, round(RATE * seconds)))


def tone(seconds: float, *hertz: float, level: float = 0.1) -> bytes:
    at = np.arange(round(RATE * seconds)) / RATE
    return pcm(level * np.sum([np.sin(2 * np.pi * each * at) for each in hertz], axis=0))


def dtmf(keys: str) -> bytes:
    """Keys of 100 ms with as much silence between them."""
    return b"".join(tone(0.1, *_DTMF[key]) + silence(0.1) for key in keys)


def music(seconds: float, seed: int = 1) -> bytes:
    """Chords that fade, with harmonics and a beat: no voice, but no plain tone either."""
    chance = np.random.default_rng(seed)
    size = RATE // 2
    at = np.arange(size) / RATE
    bars = []
    for _ in range(round(2 * seconds)):
        root = 110 * 2 ** (chance.integers(0, 12) / 12)
        chord = sum(
            np.sin(2 * np.pi * root * step * harmonic * at) / harmonic**1.5
            for step in (1, 1.26, 1.5)
            for harmonic in range(1, 6)
        )
        beat = chance.normal(0, 1, size) * np.exp(-at * 40)
        bars.append(0.05 * chord * np.exp(-at * 3) + 0.05 * beat)
    return pcm(np.concatenate(bars))


def mixed(sound: bytes, with_: bytes, gain: float = 1.0) -> bytes:
    """One sound over another, as long as the first."""
    over = np.frombuffer(with_, "<i2")[: len(sound) // 2].astype(float) * gain / 32768
    base = np.frombuffer(sound, "<i2").astype(float) / 32768
    base[: len(over)] += over
    return pcm(base)


def pcm(samples: NDArray[np.floating] | Samples) -> bytes:
    data: bytes = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    return data


def frames(sound: bytes) -> list[bytes]:
    """Frames of 20 ms."""
    return [sound[at : at + FRAME] for at in range(0, len(sound), FRAME)]
