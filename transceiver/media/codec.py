"""Codecs as the rest of the RTP path sees them, and the choice of one.

PCM is 24 kHz, mono, signed 16-bit little-endian; a *frame* is 20 ms of it: 480 samples, 960 bytes.
"""

from typing import Protocol

from transceiver.media.g711 import G711Decoder, G711Encoder
from transceiver.media.opus import OpusDecoder, OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.plan import Codec, Format

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 480
FRAME_BYTES = 2 * FRAME_SAMPLES


class Decoder(Protocol):
    """Makes PCM of the packets of one stream, which come in their order."""

    def decode(self, payload: bytes) -> bytes:
        """The PCM of a packet, of any duration.

        Raises:
            CodecError: When the payload is not what the codec makes.
        """

    def conceal(self, samples: int) -> bytes:
        """So many samples in place of a packet that did not come."""

    def carries(self, payload: bytes) -> int:
        """How much of the audio before a packet it has along, in samples; 0 for none."""

    def recover(self, payload: bytes, samples: int) -> bytes | None:
        """The lost audio just before a packet, from that packet; None when it has none."""

    def is_silence(self, payload: bytes) -> bool:
        """Whether a packet says that silence follows, which `conceal` then fills."""

    def duration(self, payload: bytes) -> int:
        """How long a packet is, without decoding it, in samples at 24 kHz.

        Raises:
            CodecError: When the payload is not what the codec makes.
        """


class Encoder(Protocol):
    """Makes payloads of one stream of PCM."""

    def encode(self, frame: bytes) -> bytes:
        """The payload for 20, 40 or 60 ms; empty when there is nothing to send (DTX)."""


def clock_rate(codec: Codec) -> int:
    """Ticks a second of a codec's RTP timestamps."""
    return 48_000 if codec is Codec.OPUS else 8_000


def make_decoder(codec: Codec) -> Decoder:
    """A decoder for one stream.

    Raises:
        MissingCodecError: When this machine has no libopus.
    """
    if codec is Codec.OPUS:
        return OpusDecoder()
    return G711Decoder(codec)


def make_encoder(form: Format) -> Encoder:
    """An encoder for one stream, as the other end wants to receive it.

    Raises:
        MissingCodecError: When this machine has no libopus.
    """
    if form.codec is Codec.OPUS:
        return OpusEncoder(OpusSettings.wanted(form.parameters))
    return G711Encoder(form.codec)
