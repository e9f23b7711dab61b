"""G.711, mu-law (PCMU) and A-law (PCMA): 8,000 samples a second of a byte each (RFC 3551, 4.5.14).

The tables follow from ITU-T G.711's definition: a sign, a segment of three bits, four bits within.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from transceiver.media.errors import CodecError
from transceiver.media.extrapolate import Extrapolator
from transceiver.media.resample import RATIO, Downsampler, Upsampler
from transceiver.plan import Codec

MAX_PAYLOAD = 960  # bytes: 120 ms, as in Opus; a datagram would take more
_BIAS = 33  # of mu-law, in units of 14 bits


def _mu_law() -> NDArray[np.int16]:
    """The samples of 16 bits that the 256 codes of mu-law stand for."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, within = code >> 4 & 7, code & 15
    size = ((2 * within + _BIAS << segment) - _BIAS) << 2
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a_law() -> NDArray[np.int16]:
    """The samples of 16 bits that the 256 codes of A-law stand for."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, within = code >> 4 & 7, code & 15
    size = np.where(segment == 0, 2 * within + 1, (2 * within + 33) << np.maximum(segment, 1) - 1)
    return np.where(code & 0x80, size << 3, -(size << 3)).astype(np.int16)


@cache
def decoding(codec: Codec) -> NDArray[np.int16]:
    """The sample of each code."""
    return _mu_law() if codec is Codec.PCMU else _a_law()


@cache
def encoding(codec: Codec) -> NDArray[np.uint8]:
    """The nearest code of each sample, by the sample as an unsigned number of 16 bits."""
    samples = decoding(codec).astype(np.int32)
    order = np.argsort(samples, kind="stable")
    limits = (samples[order][1:] + samples[order][:-1]) / 2
    table = order.astype(np.uint8)[np.searchsorted(limits, np.arange(-32768, 32768))]
    return np.roll(table, 32768)


class G711Decoder:
    """Decodes one stream of mu-law or A-law."""

    def __init__(self, codec: Codec) -> None:
        self._table = decoding(codec)
        self._up = Upsampler()
        self._heard = Extrapolator()

    def duration(self, payload: bytes) -> int:
        """How long the audio of a packet is, in samples at 24 kHz.

        Raises:
            CodecError: When it is empty or longer than 120 ms.
        """
        if not 0 < len(payload) <= MAX_PAYLOAD:
            raise CodecError(f"a G.711 packet has 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
        return RATIO * len(payload)

    def decode(self, payload: bytes) -> bytes:
        """The audio of a packet; any byte is a sample.

        Raises:
            CodecError: As `duration` does.
        """
        self.duration(payload)
        pcm = self._up(self._table[np.frombuffer(payload, np.uint8)])
        return self._heard.append(pcm).tobytes()

    def conceal(self, samples: int) -> bytes:
        """So many samples that go on as the last ones did, and fade."""
        return self._heard.extrapolate(samples).tobytes()

    def carries(self, payload: bytes) -> int:  # noqa: ARG002  # as in Decoder
        """Nothing: G.711 has no forward error correction."""
        return 0

    def recover(self, payload: bytes, samples: int) -> None:  # noqa: ARG002  # as in Decoder
        """Nothing: G.711 has no forward error correction."""
        return

    def is_silence(self, payload: bytes) -> bool:  # noqa: ARG002  # as in Decoder
        """Whether a packet announces silence: `noise` does that for G.711."""
        return False


class G711Encoder:
    """Encodes one stream as mu-law or A-law."""

    def __init__(self, codec: Codec) -> None:
        self._table = encoding(codec)
        self._down = Downsampler()

    def encode(self, frame: bytes) -> bytes:
        """A byte for each three samples of the frame, which may have any length."""
        samples = self._down(np.frombuffer(frame, "<i2"))
        return self._table[samples.view(np.uint16)].tobytes()
