"""What clients say: two tones in turn, so that it is never silence, as WAV and as Opus packets."""

import base64
import math
import wave
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import av

RATE = 48000  # Hz
_FRAME = 960  # samples: 20 ms
_SECONDS = 4
_TONES = (440, 620)  # Hz; both have whole periods in their time, so that there are no clicks
_TONE_SECONDS = 0.25
_AMPLITUDE = 8000  # of 32768


class Stimulus(NamedTuple):
    """The files.

    Attributes:
        wav: 48 kHz, mono, 16 bit.
        packets: A line of base64 for each Opus packet of 20 ms.
    """

    wav: Path
    packets: Path


def write(directory: Path) -> Stimulus:
    """Write the files into a directory."""
    samples = array("h", _tones())
    made = Stimulus(directory / "tones.wav", directory / "tones.opus.txt")
    with wave.open(str(made.wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    lines = (base64.b64encode(packet).decode() for packet in _encoded(samples))
    made.packets.write_text("\n".join(lines) + "\n", "ascii")
    return made


def energy(payloads: Iterable[bytes]) -> float:
    """The energy of Opus packets: mean square of samples, full scale is 1, times seconds."""
    decoder = av.CodecContext.create("opus", "r")
    total = 0.0
    for payload in payloads:
        for frame in decoder.decode(av.Packet(payload)):
            total += float((frame.to_ndarray() ** 2).mean()) * frame.samples / RATE
    return total


def _tones() -> Iterable[int]:
    length = int(_TONE_SECONDS * RATE)
    for number in range(int(_SECONDS / _TONE_SECONDS)):
        step = 2 * math.pi * _TONES[number % len(_TONES)] / RATE
        yield from (round(_AMPLITUDE * math.sin(step * each)) for each in range(length))


def _encoded(samples: "array[int]") -> Iterable[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
    encoder.bit_rate = 32000
    for at in range(0, len(samples), _FRAME):
        frame = av.AudioFrame(format="s16", layout="mono", samples=_FRAME)
        frame.sample_rate = RATE
        frame.pts = at
        frame.planes[0].update(samples[at : at + _FRAME].tobytes())
        yield from map(bytes, encoder.encode(frame))
