"""Sound in the formats of a session, and the buffer of what the client has said.

Inside, sound is PCM16: 24,000 samples a second of two bytes, little endian, mono.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np

from transceiver.media.g711 import G711Encoder, decoding
from transceiver.media.resample import Upsampler
from transceiver.plan import Codec
from transceiver.realtime.errors import EventError
from transceiver.realtime.fields import Check, missing, record, tagged, text, whole

BYTES_PER_MS = 48
MAX_APPEND = 15 << 20  # bytes of sound in an event
MAX_G711 = 1 << 20  # bytes of it in an event: 131 s, which take 0.35 s to be made PCM16
MAX_BUFFER = 15 << 20  # bytes that wait to be committed, the last 327 s
KEPT_OF_SILENCE = 30_000 * BYTES_PER_MS  # bytes that a server with turn detection goes back to
LEAST_COMMIT = 100  # ms

PCM: dict[str, Any] = {"type": "audio/pcm", "rate": 24000}
_CODECS = {"audio/pcmu": Codec.PCMU, "audio/pcma": Codec.PCMA}

audio_format: Check = tagged(
    {
        "audio/pcm": record({"rate": whole(24000, 24000)}, defaults={"rate": 24000}),
        "audio/pcmu": record({}),
        "audio/pcma": record({}),
    }
)


def decoded(event: dict[str, Any], param: str) -> bytes:
    """The bytes of the base64 in the field `audio`.

    Raises:
        EventError: There is none, or it is not base64, or too long.
    """
    value = event.get("audio")
    if value is None:
        raise missing(param)
    coded = text(most=MAX_APPEND * 4 // 3 + 4)(value, param)
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise EventError("invalid_value", f"`{param}` must be sound as base64.", param) from None


def encoded(sound: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(sound).decode()


def decoder(form: dict[str, Any]) -> Callable[[bytes], bytes]:
    """Makes PCM16 of the bytes of a stream in a format.

    The function raises a ValueError for a part of a sample, or too much at a time.
    """
    if form["type"] not in _CODECS:
        return _whole_samples
    table, up = decoding(_CODECS[form["type"]]), Upsampler()

    def decode(sound: bytes) -> bytes:
        if len(sound) > MAX_G711:
            raise ValueError(f"send at most {MAX_G711} bytes of G.711 in an event")
        return up(table[np.frombuffer(sound, np.uint8)]).astype("<i2").tobytes()

    return decode


def encoder(form: dict[str, Any]) -> Callable[[bytes], bytes]:
    """Makes the bytes of a stream in a format of PCM16."""
    if form["type"] not in _CODECS:
        return lambda sound: sound
    return G711Encoder(_CODECS[form["type"]]).encode


def _whole_samples(sound: bytes) -> bytes:
    if len(sound) % 2:
        raise ValueError("PCM16 has two bytes for each sample")
    return sound


class InputBuffer:
    """What the client has said and nobody has committed; its times count all sound ever added."""

    def __init__(self) -> None:
        self._sound = bytearray()
        self._before = 0  # bytes of all sound before what is kept

    def __len__(self) -> int:
        return len(self._sound)

    @property
    def end_ms(self) -> int:
        """Where the sound ends, which is how much there ever was."""
        return (self._before + len(self._sound)) // BYTES_PER_MS

    @property
    def kept_ms(self) -> int:
        """How much of it is kept."""
        return len(self._sound) // BYTES_PER_MS

    def append(self, sound: bytes, most: int) -> None:
        """Add sound, and keep no more than the last so many bytes."""
        self._sound += sound
        self._drop(len(self._sound) - most)

    def drop_before(self, start_ms: int) -> None:
        """Forget what is older."""
        self._drop(start_ms * BYTES_PER_MS - self._before)

    def until(self, end_ms: int) -> bytes:
        """What there is, up to a time."""
        return bytes(self._sound[: max(0, end_ms * BYTES_PER_MS - self._before)])

    def take(self, end_ms: int | None = None) -> bytes:
        """Take out what there is, up to a time."""
        taken = bytes(self._sound) if end_ms is None else self.until(end_ms)
        self._drop(len(taken))
        return taken

    def _drop(self, count: int) -> None:
        count = max(0, min(count, len(self._sound)))
        del self._sound[:count]
        self._before += count
