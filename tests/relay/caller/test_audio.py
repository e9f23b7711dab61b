import asyncio
import io
import math
import struct
import time
import wave
from array import array
from collections.abc import Awaitable
from pathlib import Path

import av
import pytest
from aiortc.mediastreams import MediaStreamError
from av.audio.stream import AudioStream

from relay.caller.audio import AudioSink, PacedTrack, WavRecorder, mean_square, read_audio
from relay.caller.call import SPEECH
from relay.caller.errors import CallError, Failure

FRAME = 1920  # bytes of 20 ms: 960 samples of 16 bit


def write_wav(path: Path, *, rate: int, width: int, channels: int, seconds: float) -> Path:
    """A tone of 440 Hz at half of full scale."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        for number in range(round(rate * seconds)):
            value = math.sin(2 * math.pi * 440 * number / rate) / 2
            scaled = int(value * ((1 << (8 * width - 1)) - 1))
            offset = 128 if width == 1 else 0  # only samples of 8 bit are unsigned
            sample = (scaled + offset).to_bytes(width, "little", signed=width > 1)
            file.writeframesraw(sample * channels)
    return path


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_pcm_wav_becomes_frames_of_20_ms(
    tmp_path: Path, rate: int, width: int, channels: int
) -> None:
    path = write_wav(tmp_path / "a.wav", rate=rate, width=width, channels=channels, seconds=0.4)
    frames = read_audio(path, longest=10)
    assert {len(frame) for frame in frames} == {FRAME}
    assert 20 <= len(frames) <= 21
    # A sine of amplitude 1/2 has the power 1/8; the edges of the resampler are left out.
    assert mean_square(b"".join(frames[5:15])) == pytest.approx(1 / 8, rel=0.05)


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", rate=8000, width=2, channels=1, seconds=1)
    assert len(read_audio(path, longest=0.5)) == 25


def test_the_last_frame_is_padded_with_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", rate=48000, width=2, channels=1, seconds=0.03)
    frames = read_audio(path, longest=10)
    assert len(frames) == 2
    assert frames[1].endswith(bytes(960))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ogg", "libopus"), ("flac", "flac"), ("mp3", "libmp3lame")]
)
def test_compressed_audio_becomes_the_same_frames(tmp_path: Path, suffix: str, codec: str) -> None:
    source = write_wav(tmp_path / "a.wav", rate=48000, width=2, channels=1, seconds=0.4)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(source)) as wav, av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=48000, layout="mono")
        assert isinstance(stream, AudioStream)
        for frame in (*wav.decode(audio=0), None):
            output.mux(stream.encode(frame))
    frames = read_audio(path, longest=10)
    assert {len(frame) for frame in frames} == {FRAME}
    assert 20 <= len(frames) <= 23  # MP3 pads to whole frames of its own
    assert mean_square(b"".join(frames[5:15])) == pytest.approx(1 / 8, rel=0.1)


def float_wav() -> bytes:
    samples = struct.pack("<100f", *([0.5] * 100))
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 8000, 32000, 4, 32)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def damaged_wav() -> bytes:
    """MP3 in a WAV file, of which nothing is MP3."""
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 0x55, 1, 8000, 1000, 1, 0)
    body = b"WAVE" + head + b"data" + struct.pack("<I", 100) + bytes(100)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def video_only() -> bytes:
    """A file with a picture and no audio."""
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as output:
        stream = output.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "gray"
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def test_floating_point_pcm_is_pcm(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(float_wav())
    assert len(read_audio(path, longest=1)) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"ID3" + bytes(400), "cannot be decoded"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "cannot be decoded"),
        (b"Hello, this is a text.\n" * 50, "cannot be decoded"),
        (SPEECH.read_bytes()[:60], "cannot be decoded"),
        (damaged_wav(), "cannot be decoded"),
        (float_wav()[:44], "has no audio"),
        (video_only(), "has no audio"),
    ],
)
def test_other_files_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(CallError, match=reason) as caught:
        read_audio(path, longest=1)
    assert caught.value.failure is Failure.BAD_INPUT
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"none\.wav cannot be read: No such file"):
        read_audio(tmp_path / "none.wav", longest=1)


def test_the_shipped_speech_is_small_and_speaks() -> None:
    assert SPEECH.stat().st_size < 20_000
    frames = read_audio(SPEECH, longest=10)
    assert 4 <= len(frames) * 0.02 <= 6
    assert mean_square(b"".join(frames)) > 1e-3


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long tracks wait, in seconds."""
    waits: list[float] = []
    sleep = asyncio.sleep

    def watched(seconds: float) -> Awaitable[None]:
        waits.append(seconds)
        return sleep(seconds)

    monkeypatch.setattr("relay.caller.audio.asyncio.sleep", watched)
    return waits


async def test_a_track_keeps_pace_and_repeats(waits: list[float]) -> None:
    track = PacedTrack([b"\x01\x00" * 960, b"\x02\x00" * 960])
    started = time.monotonic()
    frames = [await track.recv() for _ in range(6)]
    assert time.monotonic() - started >= 0.1  # the first one is due at once
    assert sum(waits) <= 0.1
    assert [bytes(frame.planes[0])[0] for frame in frames] == [1, 2, 1, 2, 1, 2]
    assert [frame.pts for frame in frames] == [0, 960, 1920, 2880, 3840, 4800]


async def test_a_late_frame_does_not_delay_the_next(waits: list[float]) -> None:
    track = PacedTrack([bytes(FRAME)])
    await track.recv()
    time.sleep(0.1)  # noqa: ASYNC251  # the event loop hangs, as on a busy machine
    for _ in range(5):
        await track.recv()
    assert waits == [0.0] * 6


async def test_a_stopped_track_has_ended() -> None:
    track = PacedTrack([bytes(FRAME)])
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


class Stereo(PacedTrack):
    """Three frames as the Opus decoder gives them, then the end."""

    async def recv(self):  # type: ignore[no-untyped-def]  # a test's own track
        if self._sent == 3:
            self.stop()
        frame = await super().recv()
        stereo = type(frame)(format="s16", layout="stereo", samples=960)
        stereo.planes[0].update(array("h", [16384, -16384] * 960).tobytes())
        stereo.sample_rate = 48000
        return stereo


async def test_what_is_heard_is_measured_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    recorder = WavRecorder(path)
    sink = AudioSink(recorder)
    await asyncio.wait_for(sink.consume(Stereo([bytes(FRAME)])), 5)
    recorder.close()
    assert sink.seconds == pytest.approx(0.06)
    assert sink.energy == pytest.approx(0.06 / 4)  # half of full scale is a quarter of power
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48000, 2, 2)
        assert file.getnframes() == 3 * 960


def test_a_recording_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="cannot be written: No such file"):
        WavRecorder(tmp_path / "none" / "out.wav")


def test_power_is_of_full_scale() -> None:
    assert mean_square(array("h", [-32768] * 4).tobytes()) == 1.0
    assert mean_square(b"") == 0.0
