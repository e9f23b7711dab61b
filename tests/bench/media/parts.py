"""The parts of the RTP path, each ready to be run over a stretch of speech."""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pylibsrtp import Policy, Session

from relay.wire.audiolevel import audio_level
from tests.bench.media import speech
from transceiver.dtls import Dtls, Identity
from transceiver.media import libopus, rtcp, rtcpwrite, rtp
from transceiver.media.audiopath import AudioPath
from transceiver.media.codec import FRAME_SAMPLES, Decoder, make_decoder, make_encoder
from transceiver.media.opus import OpusDecoder, OpusEncoder
from transceiver.media.opussettings import OpusSettings
from transceiver.media.receiver import Receiver
from transceiver.media.reception import Stream
from transceiver.media.rtcp import ReportBlock
from transceiver.media.sender import AUDIO_LEVEL, MID, level
from transceiver.plan import AudioPlan, Codec, DtlsRole, Format

CELT = OpusSettings()
FEC = OpusSettings(fec=True, loss=10)
_OPUS = Format(Codec.OPUS, 111, {"useinbandfec": "1"})
PLAN = AudioPlan(
    mid="0",
    transport=0,
    formats=(_OPUS,),
    events={48_000: 110},
    extensions={AUDIO_LEVEL: 1, MID: 4},
    feedback=frozenset(),
    receive=True,
    send=True,
    reduced_rtcp=True,
)
_SERVER, _CLIENT = 1, 2


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure.

    Attributes:
        name: What it is.
        unit: Of what a run has many: ``frame``, ``packet``, ``report`` or ``call``.
        count: How many a run has.
        ready: Makes a run, with all that it needs and that is not measured.
    """

    name: str
    unit: str
    count: int
    ready: Callable[[], Callable[[], object]]


class Material:
    """Speech, encoded and packed once."""

    def __init__(self, frames: int) -> None:
        self.frames = speech.frames(frames)
        self.celt = self._encoded(CELT)
        self.fec = self._encoded(FEC)
        self.packets = self._packets(0.0)
        self.lossy = self._packets(0.05)

    def _encoded(self, settings: OpusSettings) -> list[bytes]:
        encoder = OpusEncoder(settings)
        return [encoder.encode(frame) for frame in self.frames]

    def _packets(self, loss: float) -> list[bytes]:
        path = _path(_CLIENT)
        if loss:
            _report(path, loss)
        packets = [path.speak(frame, 0.02 * index) for index, frame in enumerate(self.frames)]
        chance = random.Random(13)
        return [b"" if chance.random() < loss else packet or b"" for packet in packets]


def _path(ssrc: int) -> AudioPath:
    return AudioPath(PLAN, ssrc=ssrc, cname="bench", random=random.Random(13), now=0.0)


def _report(path: AudioPath, loss: float, ssrc: int = _CLIENT) -> None:
    """Have a path believe that its packets get lost."""
    block = ReportBlock(ssrc, loss, 10, 100, 0, 0, 0)
    path.receive_rtcp(rtcpwrite.receiver_report(rtcp.ReceiverReport(9, (block,))), 0.0)


def calls(material: Material) -> Iterator[Part]:
    """A whole call that echoes, without SRTP and sockets."""
    count = len(material.frames)

    def echo(packets: list[bytes], loss: float) -> Callable[[], object]:
        path = _path(_SERVER)

        def run() -> None:
            for index, packet in enumerate(packets):
                now = 0.02 * index
                if loss and index % 50 == 0:
                    _report(path, loss, _SERVER)
                if packet:
                    path.receive_rtp(packet, now)
                path.speak(path.hear(now).frame, now)
                path.rtcp(now)

        return run

    yield Part("call, CELT", "frame", count, lambda: echo(material.packets, 0.0))
    yield Part("call, FEC, 5 % lost", "frame", count, lambda: echo(material.lossy, 0.05))


def codecs(material: Material) -> Iterator[Part]:
    """Decoders and encoders, with each library that there is."""
    count = len(material.frames)

    def decode(make: Callable[[], Decoder], payloads: list[bytes]) -> Callable[[], object]:
        decoder = make()
        return lambda: [decoder.decode(payload) for payload in payloads]

    def encode(settings: OpusSettings) -> Callable[[], object]:
        encoder = OpusEncoder(settings)
        return lambda: [encoder.encode(frame) for frame in material.frames]

    for name in libopus.candidates():
        with _library(name) as version:
            for mode, payloads in (("CELT", material.celt), ("FEC", material.fec)):
                yield Part(
                    f"Opus decode, {mode}, {version}",
                    "frame",
                    count,
                    _using(name, partial(decode, OpusDecoder, payloads)),
                )
            for mode, settings in (("CELT", CELT), ("FEC", FEC)):
                yield Part(
                    f"Opus encode, {mode}, {version}",
                    "frame",
                    count,
                    _using(name, partial(encode, settings)),
                )

    def law(codec: Codec) -> Callable[[], object]:
        encoder = make_encoder(Format(codec, 0))
        return lambda: [encoder.encode(frame) for frame in material.frames]

    encoder = make_encoder(Format(Codec.PCMU, 0))
    mu = [encoder.encode(frame) for frame in material.frames]
    yield Part("PCMU decode", "frame", count, lambda: decode(lambda: make_decoder(Codec.PCMU), mu))
    yield Part("PCMU encode", "frame", count, lambda: law(Codec.PCMU))


@contextmanager
def _library(name: str) -> Iterator[str]:
    """Have coders that are made use this library; gives its version."""
    usual = libopus.candidates
    libopus.candidates = lambda: [name]
    libopus.library.cache_clear()
    try:
        yield libopus.library().opus_get_version_string().decode()
    finally:
        libopus.candidates = usual
        libopus.library.cache_clear()


def _using(name: str, ready: Callable[[], Callable[[], object]]) -> Callable[[], Any]:
    def made() -> Callable[[], object]:
        with _library(name):
            return ready()

    return made


def packets(material: Material) -> Iterator[Part]:
    """What is done with each packet beside its codec."""
    data = material.packets
    count = len(data)
    parsed = [rtp.parse(packet) for packet in data]

    def reception() -> Callable[[], object]:
        stream = Stream(parsed[0].sequence, 0.0)
        return lambda: [
            stream.add(each.sequence, each.timestamp, 48_000, 0.02 * index)
            for index, each in enumerate(parsed)
        ]

    def extensions() -> None:
        for packet in data:
            _ = rtp.parse(packet).extensions

    def playout() -> Callable[[], object]:
        player = Receiver(lambda _type: _Still(), clock_rates={111: 48_000})

        def run() -> None:
            for index, packet in enumerate(parsed):
                player.insert(packet, 0.02 * index)
                player.pull(0.02 * index)

        return run

    yield Part("RTP parse", "packet", count, lambda: lambda: [rtp.parse(each) for each in data])
    yield Part("RTP parse, with its extensions", "packet", count, lambda: extensions)
    yield Part(
        "RTP serialise", "packet", count, lambda: lambda: [each.serialise() for each in parsed]
    )
    yield Part("reception figures", "packet", count, reception)
    yield Part("playout, without decoding", "frame", count, playout)
    for title, function in (
        ("level, numpy", level),
        ("level, standard library", lambda frame: audio_level(memoryview(frame), FRAME_SAMPLES)),
    ):
        yield Part(title, "frame", count, partial(_each, function, material.frames))


def _each(function: Callable[[bytes], object], frames: list[bytes]) -> Callable[[], object]:
    return lambda: [function(frame) for frame in frames]


class _Still:
    """A decoder that takes no time."""

    def decode(self, payload: bytes) -> bytes:  # noqa: ARG002
        return speech.STILL

    def conceal(self, samples: int) -> bytes:
        return bytes(2 * samples)

    def carries(self, payload: bytes) -> int:  # noqa: ARG002
        return 0

    def recover(self, payload: bytes, samples: int) -> bytes | None:  # noqa: ARG002
        return None

    def is_silence(self, payload: bytes) -> bool:  # noqa: ARG002
        return False

    def duration(self, payload: bytes) -> int:  # noqa: ARG002
        return FRAME_SAMPLES


def encryption(material: Material) -> Iterator[Part]:
    """SRTP, with both kinds of ciphers that DTLS may choose."""
    data = material.packets
    for title, profile, size in (
        ("AES-CM, HMAC-SHA1", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
        ("AES-GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    ):

        def session(direction: int, profile: int = profile, size: int = size) -> Session:
            return Session(
                Policy(key=bytes(range(size)), ssrc_type=direction, srtp_profile=profile)
            )

        def protect(session: Callable[[int], Session] = session) -> Callable[[], object]:
            srtp = session(Policy.SSRC_ANY_OUTBOUND)
            return lambda: [srtp.protect(each) for each in data]

        def unprotect(session: Callable[[int], Session] = session) -> Callable[[], object]:
            outbound = session(Policy.SSRC_ANY_OUTBOUND)
            secret = [outbound.protect(each) for each in data]
            srtp = session(Policy.SSRC_ANY_INBOUND)
            return lambda: [srtp.unprotect(each) for each in secret]

        yield Part(f"SRTP unprotect, {title}", "packet", len(data), unprotect)
        yield Part(f"SRTP protect, {title}", "packet", len(data), protect)


def reports(material: Material) -> Iterator[Part]:
    """RTCP."""
    path = _path(_SERVER)
    for index, packet in enumerate(material.packets):
        path.receive_rtp(packet, 0.02 * index)
    compound = path.goodbye(1.0)
    times = 1_000

    def receive() -> Callable[[], object]:
        path = _path(_CLIENT)
        # One in 20 ms: more than 50 in a second are not read.
        return lambda: [path.receive_rtcp(compound, 0.02 * index) for index in range(times)]

    def nothing_due() -> Callable[[], object]:
        path = _path(_CLIENT)
        return lambda: [path.rtcp(0.0) for _ in range(times)]

    yield Part("RTCP receive", "report", times, receive)
    yield Part(
        "RTCP write", "report", times, lambda: lambda: [path.goodbye(1.0) for _ in range(times)]
    )
    yield Part("RTCP, nothing due", "frame", times, nothing_due)


def handshakes(_: Material) -> Iterator[Part]:
    """DTLS, once for each call."""
    now, times = dt.datetime.now(dt.UTC), 20
    ours, theirs = Identity.generate(now), Identity.generate(now)

    def shake_hands() -> None:
        server = Dtls(ours, DtlsRole.SERVER, (theirs.fingerprint,))
        client = Dtls(theirs, DtlsRole.CLIENT, (ours.fingerprint,))
        waiting = client.begin()
        ends = (server, client)
        while waiting:
            to, *_ = ends
            waiting = [answer for each in waiting for answer in to.receive(each).send]
            ends = ends[1], ends[0]

    def run() -> None:
        for _ in range(times):
            shake_hands()

    yield Part("DTLS handshake, both ends", "call", times, lambda: run)
