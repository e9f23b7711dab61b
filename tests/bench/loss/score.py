"""What played speech is worth: delay, silence and a perceptual score.

The score is PLCMOS (Diener et al., "PLCMOS - a data-driven non-intrusive metric for the evaluation
of packet loss concealment algorithms", Interspeech 2023): what listeners would say of the gaps and
their filling, from 1 to 5. It needs no original, so time-stretching by itself costs nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.loss.material import Pcm
from transceiver.media.codec import SAMPLE_RATE

_THIN = 3  # delays are looked for at 8 kHz
_WINDOW, _HOP = 0.4, 0.1  # seconds of speech that are found again
_MOST = 0.8  # seconds of delay, at most
_ALIKE = 0.6  # correlation of speech that has been found again
_BLOCK = 120  # samples: 5 ms
_AROUND = 4  # blocks to either side
_SPEECH = 200.0  # effective value of what is not silence
_SILENCE = 0.03  # 30 dB below what was said
_CLIP = 6.0  # seconds that are judged at a time
_CLIP_RATE = 16_000

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Delays:
    """The delay of what was said, over time; both in seconds."""

    times: _Floats
    delays: _Floats

    def until(self, time: float) -> float:
        """The median up to a moment."""
        return float(np.median(self.delays[self.times < time]))

    def return_after(self, time: float, allowed: float) -> float:
        """How long after a moment the delay was above a limit for the last time; 0 if never."""
        above = self.times[(self.delays > allowed) & (self.times > time)]
        return float(above.max()) - time if len(above) else 0.0


def delays(said: Pcm, heard: Pcm) -> Delays:
    """Where each stretch of speech is found again."""
    first, second = _thin(said), _thin(heard)
    rate = SAMPLE_RATE // _THIN
    size, reach = round(_WINDOW * rate), round(_MOST * rate)
    times, found = [], []
    for start in range(0, len(first) - size, round(_HOP * rate)):
        pattern, place = first[start : start + size], second[start : start + size + reach]
        if len(place) < size + reach or np.sqrt(np.mean(pattern**2)) < _SPEECH:
            continue
        lag, alike = _find(pattern, place)
        if alike > _ALIKE:
            times.append((start + size / 2) / rate)
            found.append(lag / rate)
    return Delays(np.array(times), np.array(found))


def _thin(pcm: Pcm) -> _Floats:
    whole = len(pcm) // _THIN * _THIN
    return np.asarray(pcm[:whole].reshape(-1, _THIN).mean(axis=1), np.float64)


def _find(pattern: _Floats, place: _Floats) -> tuple[int, float]:
    """Where a pattern is most like a place, and how much."""
    size = len(place) + len(pattern)
    spectrum = np.fft.rfft(place, size) * np.conj(np.fft.rfft(pattern, size))
    products = np.fft.irfft(spectrum, size)[: len(place) - len(pattern) + 1]
    sums = np.concatenate(([0.0], np.cumsum(place**2)))
    energies = sums[len(pattern) :] - sums[: -len(pattern)]
    alike = products / np.sqrt(energies * float(pattern @ pattern) + 1.0)
    best = int(np.argmax(alike))
    return best, float(alike[best])


def longest_silence(said: Pcm, heard: Pcm, found: Delays) -> float:
    """The longest stretch in which nothing was heard although something was said, in seconds."""
    loud, quiet = _loudness(said), _loudness(heard)
    # Speech, where all around is speech, whatever the delay does meanwhile.
    least = np.min([np.roll(loud, shift) for shift in range(-_AROUND, _AROUND + 1)], axis=0)
    longest = run = 0
    for index, there in enumerate(least):
        at = index * _BLOCK / SAMPLE_RATE
        late = np.interp(at, found.times, found.delays)
        place = index + round(late * SAMPLE_RATE / _BLOCK)
        if place >= len(quiet):
            break
        silent = there > _SPEECH and quiet[place] < _SILENCE * there
        run = run + 1 if silent else 0
        longest = max(longest, run)
    return longest * _BLOCK / SAMPLE_RATE


def _loudness(pcm: Pcm) -> _Floats:
    whole = len(pcm) // _BLOCK * _BLOCK
    blocks = pcm[:whole].astype(np.float64).reshape(-1, _BLOCK)
    return np.asarray(np.sqrt(np.mean(blocks**2, axis=1)))


class Judge:
    """Gives scores.

    Raises:
        ImportError: When `speechmos` or `onnxruntime` is not installed.
    """

    def __init__(self) -> None:
        from speechmos.plcmos import PLCMOS

        self._model = PLCMOS()

    def score(self, heard: Pcm) -> float:
        """The mean of all clips."""
        samples = _resample(heard.astype(np.float64) / 32_768)
        size = round(_CLIP * _CLIP_RATE)
        # The model draws the raters that it stands for.
        np.random.seed(13)  # it draws them from here
        return float(
            np.mean(
                [
                    self._model(np.clip(samples[start : start + size], -1, 1))["plcmos"]
                    for start in range(0, len(samples) - size + 1, size)
                ]
            )
        )


def _resample(samples: _Floats) -> _Floats:
    """From 24 to 16 kHz."""
    spectrum = np.fft.rfft(samples)
    size = len(samples) * 2 // 3
    return np.asarray(np.fft.irfft(spectrum[: size // 2 + 1], size) * (2 / 3))
