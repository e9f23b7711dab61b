"""Audio of a call: a file as a track in real time, and a meter and recorder of what comes back."""

import asyncio
import contextlib
import time
import wave
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from operator import mul
from pathlib import Path

import av
import av.error
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.container import InputContainer

from relay.caller.errors import CallError, Failure
from relay.files import unreadable, unwritable

RATE = 48000  # Hz; Opus over RTP always counts in it (RFC 7587)
FRAME_SAMPLES = 960  # 20 ms, the usual packet
FRAME_SECONDS = FRAME_SAMPLES / RATE
_SAMPLE_BYTES = 2
_FRAME_BYTES = FRAME_SAMPLES * _SAMPLE_BYTES
_FULL_SCALE = 1 << 15
_WANTED = "give an audio file, such as WAV, FLAC, MP3 or Ogg"


def read_audio(path: Path, *, longest: float) -> list[bytes]:
    """Decode the start of an audio file, of any format that FFmpeg knows.

    Args:
        path: The file.
        longest: Seconds of it that are needed at most.

    Returns:
        Frames of 20 ms: mono, 48 kHz, signed 16 bit, native byte order; the last one is padded.

    Raises:
        CallError: The file cannot be read or decoded, or has no audio.
    """
    wanted = max(1, round(longest / FRAME_SECONDS)) * _FRAME_BYTES
    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            samples = bytearray()
            for piece in _decoded(container):
                samples += piece
                if len(samples) >= wanted:
                    break
    except av.error.FFmpegError:  # before OSError: some are of both kinds
        raise _unusable(path, "cannot be decoded") from None
    except OSError as error:
        reason = unreadable(error, missing=_WANTED)
        raise CallError(Failure.BAD_INPUT, f"{path} cannot be read: {reason}") from None
    if not samples:
        raise _unusable(path, "has no audio")
    del samples[wanted:]
    padded = bytes(samples) + bytes(-len(samples) % _FRAME_BYTES)
    return [padded[at : at + _FRAME_BYTES] for at in range(0, len(padded), _FRAME_BYTES)]


def _decoded(container: InputContainer) -> Iterator[bytes]:
    """The samples of the first audio stream, if any, as mono, 48 kHz, signed 16 bit."""
    if not container.streams.audio:
        return
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    for frame in chain(container.decode(audio=0), [None]):  # None flushes
        for piece in resampler.resample(frame):
            yield bytes(piece.planes[0])[: piece.samples * _SAMPLE_BYTES]


def _unusable(path: Path, reason: str) -> CallError:
    return CallError(Failure.BAD_INPUT, f"{path} {reason}; {_WANTED}")


class PacedTrack(MediaStreamTrack):
    """Frames of 20 ms, played in a loop in real time.

    Frames are due on a fixed schedule: one that is late does not delay those after it.

    Args:
        frames: Frames as `read_audio` returns them, at least one.
    """

    kind = "audio"

    def __init__(self, frames: Sequence[bytes]) -> None:
        super().__init__()
        self._frames = frames
        self._sent = 0
        self._started = 0.0

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: The track was stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if not self._sent:
            self._started = time.monotonic()
        due = self._started + self._sent * FRAME_SECONDS
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self._frames[self._sent % len(self._frames)])
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        frame.pts = self._sent * FRAME_SAMPLES
        self._sent += 1
        return frame


class WavRecorder:
    """Writes received audio to a WAV file: stereo, 48 kHz, signed 16 bit.

    Args:
        path: The file, which is replaced.

    Raises:
        CallError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._output = path.open("wb")
        except OSError as error:
            raise CallError(
                Failure.BAD_INPUT, f"{path} cannot be written: {unwritable(error)}"
            ) from None
        # It stays open until `close`, at the end of the call.
        self._file = wave.open(self._output, "wb")  # noqa: SIM115
        self._file.setnchannels(2)
        self._file.setsampwidth(_SAMPLE_BYTES)
        self._file.setframerate(RATE)

    def write(self, samples: bytes) -> None:
        """Append interleaved stereo samples."""
        self._file.writeframes(samples)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._output.close()


class AudioSink:
    """Consumes a remote track: measures its energy and records it.

    Attributes:
        energy: The sum of mean square times seconds, full scale being 1, as `totalAudioEnergy`
            of the WebRTC statistics.
        seconds: How much audio was received.
    """

    def __init__(self, recorder: WavRecorder | None = None) -> None:
        self.energy = 0.0
        self.seconds = 0.0
        self._recorder = recorder

    async def consume(self, track: MediaStreamTrack) -> None:
        """Take frames until the track ends."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    self._add(frame)

    def _add(self, frame: av.AudioFrame) -> None:
        # The Opus decoder always gives interleaved stereo; its buffers have padding at the end.
        samples = bytes(frame.planes[0])[: frame.samples * 2 * _SAMPLE_BYTES]
        seconds = frame.samples / RATE
        self.energy += mean_square(samples) * seconds
        self.seconds += seconds
        if self._recorder is not None:
            self._recorder.write(samples)


def mean_square(samples: bytes) -> float:
    """The power of signed 16-bit samples in native byte order; full scale is 1."""
    values = memoryview(samples).cast("h")
    return float(sum(map(mul, values, values))) / max(1, len(values)) / _FULL_SCALE**2
