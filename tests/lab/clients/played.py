"""What a client has played, as its driver writes it: chunks of 10 ms, each with when it was."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK = 0.01  # seconds
_HEAD = struct.Struct("<dIHI")  # seconds since 1970, samples a second, channels, bytes that follow
_AFTER = 100  # chunks that tell when the one before them was really played


def chunk(at: float, rate: int, channels: int, sound: bytes) -> bytes:
    """A chunk as it is written; `sound` has 16 bits a sample."""
    return _HEAD.pack(at, rate, channels, len(sound)) + sound


@dataclass(frozen=True, slots=True)
class Played:
    """What was played.

    Attributes:
        rate: Samples a second.
        times: When each chunk began to be played, in seconds since 1970.
        sounds: Its samples, of the first channel.
    """

    rate: int
    times: NDArray[np.float64]
    sounds: list[NDArray[np.int16]]

    def between(self, start: float, end: float) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """The times of the chunks that began between two moments, and their sound as one."""
        first, last = np.searchsorted(self.times, (start, end))
        sounds = self.sounds[first:last]
        whole = np.concatenate(sounds) if sounds else np.zeros(0, np.int16)
        return self.times[first:last], whole


def read(path: Path) -> Played:
    """What a driver has written so far."""
    data, at = path.read_bytes(), 0
    told, sounds, rate = [], [], 48_000
    while at + _HEAD.size <= len(data):
        moment, rate, channels, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + size > len(data):
            break  # it is being written
        samples = np.frombuffer(data[at : at + size], "<i2")
        told.append(moment)
        sounds.append(samples[::channels].copy())
        at += size
    return Played(rate, _evened(np.array(told)), sounds)


def _evened(told: NDArray[np.float64]) -> NDArray[np.float64]:
    """When chunks were played.

    They come evenly, unless some were left out; telling is uneven, and always late. So none was
    played later than the ones after it say.
    """
    even = np.arange(len(told)) * CHUNK
    late = told - even
    least = [late[at : at + _AFTER].min() for at in range(len(told))]
    evened: NDArray[np.float64] = np.array(least) + even
    return evened
