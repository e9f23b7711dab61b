"""Opus for speech (RFC 6716, RFC 7587): 24 kHz, mono, by libopus.

The state of a coder lies in memory of Python's, which libopus only fills: it goes when the object
goes, and nothing is left to be freed.
"""

import ctypes

from transceiver.media import libopus
from transceiver.media.errors import CodecError
from transceiver.media.libopus import explain, library
from transceiver.media.opussettings import OpusSettings

SAMPLE_RATE = 24_000
CLOCK_RATE = 48_000  # of RTP timestamps, whatever the sampling rate (RFC 7587, section 4.1)
MAX_SAMPLES = 2_880  # of a packet: 120 ms
MAX_PAYLOAD = libopus.MAX_FRAMES * (1275 + 2) + 2  # frames with their lengths; RFC 6716, 3.2
_STEP = 60  # samples in 2.5 ms, the grid of all durations
_DTX = 2  # bytes: no longer is a packet that announces silence
_FIRST_CELT = 16  # configurations below are SILK or hybrid

# Samples of a frame by the upper five bits of a packet's first byte (RFC 6716, table 2).
_FRAME_SAMPLES = tuple(
    SAMPLE_RATE * tenths // 10_000
    for tenths in (
        *(100, 200, 400, 600) * 3,  # SILK
        *(100, 200) * 2,  # hybrid
        *(25, 50, 100, 200) * 4,  # CELT
    )
)


def duration(payload: bytes) -> int:
    """How long the audio of a packet is, without decoding it, in samples at 24 kHz.

    Raises:
        CodecError: When no Opus packet begins like this.
    """
    size = len(payload)
    if not 0 < size <= MAX_PAYLOAD:
        raise CodecError(f"an Opus packet has 1 to {MAX_PAYLOAD} bytes, not {size}")
    first = payload[0]
    samples = _FRAME_SAMPLES[first >> 3]
    code = first & 3
    if code == 0:
        return samples
    if code != 3:
        return 2 * samples
    if size < 2:
        raise CodecError("an Opus packet does not say how many frames it has")
    samples *= payload[1] & 0x3F
    if not 0 < samples <= MAX_SAMPLES:
        raise CodecError(
            f"an Opus packet says that it lasts {samples / 24:g} ms; 120 are the limit"
        )
    return samples


def has_fec(payload: bytes) -> bool:
    """Whether a packet carries its predecessor's audio as well (LBRR; RFC 6716, section 4.2.4).

    False for anything that is not a well-formed packet.
    """
    if not payload or payload[0] >> 3 >= _FIRST_CELT or len(payload) > MAX_PAYLOAD:
        return False
    frames = (ctypes.POINTER(ctypes.c_ubyte) * libopus.MAX_FRAMES)()
    sizes = (ctypes.c_int16 * libopus.MAX_FRAMES)()
    count = library().opus_packet_parse(payload, len(payload), None, frames, sizes, None)
    if count < 1 or sizes[0] < 1:
        return False
    # The first bits of a SILK frame: for each channel, one for voice activity in each 20 ms, then
    # the one that is asked for (RFC 6716, section 4.2.3).
    flags = frames[0][0]
    parts = max(1, _FRAME_SAMPLES[payload[0] >> 3] // 480)
    stereo = payload[0] & 4
    return bool(flags >> 7 - parts & 1 or (stereo and flags >> 6 - 2 * parts & 1))


class OpusDecoder:
    """Decodes one stream. Whatever the stream has, mono comes out."""

    def __init__(self) -> None:
        self._library = library()
        self._state = ctypes.create_string_buffer(self._library.opus_decoder_get_size(1))
        _check(self._library.opus_decoder_init(self._state, SAMPLE_RATE, 1))
        self._pcm = ctypes.create_string_buffer(2 * MAX_SAMPLES)
        self._view = memoryview(self._pcm)

    def duration(self, payload: bytes) -> int:
        """How long the audio of a packet is, in samples at 24 kHz; raises `CodecError`."""
        return duration(payload)

    def decode(self, payload: bytes) -> bytes:
        """The audio of a packet, as long as `duration` says.

        Raises:
            CodecError: When it is no Opus packet. The decoder stays usable.
        """
        return self._run(payload, duration(payload), 0)

    def is_silence(self, payload: bytes) -> bool:
        """Whether a packet announces silence (DTX)."""
        return len(payload) <= _DTX

    def conceal(self, samples: int) -> bytes:
        """Audio in place of a packet that did not come, faded after some time.

        Args:
            samples: How much; what is not a multiple of 2.5 ms costs the rest of those.
        """
        parts = []
        left = -(-samples // _STEP) * _STEP
        while left > 0:
            parts.append(self._run(None, min(left, MAX_SAMPLES), 0))
            left -= MAX_SAMPLES
        return b"".join(parts)[: 2 * samples]

    def carries(self, payload: bytes) -> int:
        """How much of the audio before a packet it has along: as much as its frames last."""
        return _FRAME_SAMPLES[payload[0] >> 3] if has_fec(payload) else 0

    def recover(self, payload: bytes, samples: int) -> bytes | None:
        """The audio just before a packet from that packet, in place of a lost one.

        The packet is decoded as usual after this.

        Args:
            payload: The packet that did come.
            samples: How much is lost before it. What the packet does not have is concealed.

        Returns:
            So many samples, or None when there is nothing to recover them from.
        """
        carried = self.carries(payload)
        if not carried:
            return None
        try:
            # libopus conceals when it is asked for less than a frame of the packet's own.
            early = self.conceal(samples - MAX_SAMPLES) if samples > MAX_SAMPLES else b""
            wanted = min(max(-(-samples // _STEP) * _STEP, carried), MAX_SAMPLES)
            pcm = early + self._run(payload, wanted, 1)
        except CodecError:
            return None
        return pcm[len(pcm) - 2 * samples :]

    def _run(self, payload: bytes | None, samples: int, fec: int) -> bytes:
        size = len(payload) if payload is not None else 0
        got = self._library.opus_decode(self._state, payload, size, self._pcm, samples, fec)
        if got < 0:
            raise CodecError(f"an Opus packet of {size} bytes cannot be decoded: {explain(got)}")
        return self._view[: 2 * got].tobytes()


class OpusEncoder:
    """Encodes one stream of speech.

    Attributes:
        settings: How; `configure` changes them between two frames.
    """

    def __init__(self, settings: OpusSettings) -> None:
        self._library = library()
        self._state = ctypes.create_string_buffer(self._library.opus_encoder_get_size(1))
        _check(
            self._library.opus_encoder_init(self._state, SAMPLE_RATE, 1, libopus.APPLICATION_VOIP)
        )
        self._out = ctypes.create_string_buffer(_MAX_ENCODED)
        self._view = memoryview(self._out)
        self._set: dict[int, int] = {}
        self.settings = settings
        self.configure(settings)

    def configure(self, settings: OpusSettings) -> None:
        """Encode like this from the next frame on."""
        self.settings = settings
        # Which of its two coders libopus takes follows from the kind of signal: it takes the
        # cheap one (CELT) for music, only for voice is a loss of 1 % reason enough for FEC, and
        # only the coder for voice tells silence from speech at a low complexity.
        speech = settings.fec or settings.dtx or settings.bitrate < _LEAST_CELT
        for request, value in (
            (libopus.SET_SIGNAL, libopus.SIGNAL_VOICE if speech else libopus.SIGNAL_MUSIC),
            (libopus.SET_BITRATE, settings.bitrate),
            (libopus.SET_COMPLEXITY, settings.complexity),
            (libopus.SET_INBAND_FEC, int(settings.fec)),
            (libopus.SET_PACKET_LOSS, settings.loss),
            (libopus.SET_DTX, int(settings.dtx)),
            (libopus.SET_VBR, int(not settings.cbr)),
            (libopus.SET_MAX_BANDWIDTH, _bandwidth(settings.bandwidth)),
        ):
            if self._set.get(request) != value:
                _check(self._library.opus_encoder_ctl(self._state, request, ctypes.c_int32(value)))
                self._set[request] = value

    def encode(self, frame: bytes) -> bytes:
        """Encode 20, 40 or 60 ms.

        Returns:
            The packet's payload; empty when there is silence that need not be sent.
        """
        size = self._library.opus_encode(
            self._state, frame, len(frame) >> 1, self._out, _MAX_ENCODED
        )
        _check(size)
        # One or two bytes are a packet without sound: the receiver knows without it
        # (opus_encode in opus.h).
        return self._view[:size].tobytes() if size > 2 else b""


_MAX_ENCODED = 1_000  # bytes: below any MTU, and beyond 120 kb/s in 60 ms
_LEAST_CELT = 20_000  # bits a second; below, speech sounds better in SILK
_BANDWIDTHS = (4_000, 6_000, 8_000, 12_000, 20_000)  # Hz


def _bandwidth(hertz: int) -> int:
    """The number that libopus has for the widest audio of use."""
    wider = [index for index, limit in enumerate(_BANDWIDTHS) if limit >= hertz]
    return libopus.BANDWIDTH_NARROW + wider[0] if wider else libopus.BANDWIDTH_FULL


def _check(result: int) -> None:
    if result < 0:
        raise CodecError(f"libopus refuses: {explain(result)}")
