"""The same packets through libwebrtc's playout, in real time over the loopback interface.

Sent by aiortc's DTLS and SRTP in place of its own audio, received by `wrtc`, which is libwebrtc
with a Python interface.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.bench.errors import BenchError
from tests.bench.loss.material import Pcm
from tests.bench.loss.network import FRAME, Arrival
from tests.bench.loss.played import Played
from transceiver.media.codec import FRAME_SAMPLES, SAMPLE_RATE
from transceiver.media.rtp import Packet

_CHUNK = 0.01  # seconds of what comes out at a time
_PATIENCE = 15.0  # seconds for a call to be set up
_TOO_LATE = 0.015  # seconds
_TRIES = 8
_REST = 0.3  # seconds before the first packet and after the last frame


def play_all(all_arrivals: Sequence[Sequence[Arrival]], frames: int) -> list[Played]:
    """Play several sequences of packets side by side, for so many frames of 20 ms each.

    Packets that we send late would be jitter that the other playout does not have: then all is
    played again.

    Raises:
        ImportError: When `wrtc` is not installed.
        BenchError: When a call cannot be set up, or the machine is too busy.
    """
    for _ in range(_TRIES):
        played, lateness = zip(*asyncio.run(_side_by_side(all_arrivals, frames)), strict=True)
        if max(lateness) < _TOO_LATE:
            return list(played)
    raise BenchError(
        f"packets went out {1_000 * max(lateness):.0f} ms late: the machine is too busy for "
        "a playout in real time; try again, or --no-neteq"
    )


async def _side_by_side(
    all_arrivals: Sequence[Sequence[Arrival]], frames: int
) -> list[tuple[Played, float]]:
    return await asyncio.gather(*(_play(arrivals, frames) for arrivals in all_arrivals))


async def _play(arrivals: Sequence[Arrival], frames: int) -> tuple[Played, float]:
    """What was heard, and by how many seconds a packet went out too late, at most."""
    call = _Call()
    try:
        await call.set_up()
        listening = asyncio.create_task(call.listen())
        await asyncio.sleep(_REST)
        start = time.monotonic() + 0.05
        late = 0.0
        for arrival in arrivals:
            due = start + arrival.time
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await call.send(arrival.packet)
            late = max(late, time.monotonic() - due)
        await asyncio.sleep(max(0.0, start + FRAME * frames + _REST - time.monotonic()))
        concealed = await call.concealed()
        listening.cancel()
        return Played(call.heard(start, frames), concealed), late
    finally:
        await call.close()


class _Call:
    """A call from aiortc to libwebrtc."""

    def __init__(self) -> None:
        import webrtc

        self._webrtc: Any = webrtc
        self._sending: Any = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._sending.addTrack(AudioStreamTrack())
        self._sender: Any = self._sending.getSenders()[0]
        self._sender._run_rtp = self._say_nothing  # type: ignore[method-assign]
        self._receiving: Any = webrtc.RTCPeerConnection()
        self._ended = asyncio.Event()
        self._payload_type = 0
        self._track: Any = None
        self._chunks: list[tuple[float, bytes]] = []
        self._form = (48_000, 1)

    async def _say_nothing(self, codec: Any) -> None:
        """In place of aiortc's own packets."""
        self._payload_type = codec.payloadType
        self._sender._RTCRtpSender__rtp_started.set()
        await self._ended.wait()
        self._sender._RTCRtpSender__rtp_exited.set()

    async def set_up(self) -> None:
        """Connect."""
        webrtc = self._webrtc
        self._receiving.on("track", self._take)
        await self._sending.setLocalDescription(await self._sending.createOffer())
        offer = webrtc.RTCSessionDescriptionInit(
            type="offer", sdp=self._sending.localDescription.sdp
        )
        await self._receiving.set_remote_description(webrtc.RTCSessionDescription(offer))
        await self._receiving.set_local_description(await self._receiving.create_answer())
        await self._until(lambda: self._receiving.ice_gathering_state == "complete")
        answer = RTCSessionDescription(self._receiving.local_description.sdp, "answer")
        await self._sending.setRemoteDescription(answer)
        await self._until(
            lambda: (
                self._track is not None
                and self._payload_type
                and self._receiving.connection_state == "connected"
                and self._sending.connectionState == "connected"
            )
        )

    def _take(self, event: Any) -> None:
        self._track = event.track

    @staticmethod
    async def _until(condition: Any) -> None:
        limit = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > limit:
                raise BenchError("aiortc and libwebrtc do not connect: try without --neteq")
            await asyncio.sleep(0.02)

    async def send(self, packet: Packet) -> None:
        """Send a packet under the numbers of this call."""
        mine = Packet(
            self._payload_type,
            packet.sequence,
            packet.timestamp,
            self._sender._ssrc,
            packet.payload,
        )
        await self._sender.transport._send_rtp(mine.serialise())

    async def listen(self) -> None:
        """Keep what is played, and when."""
        webrtc = self._webrtc
        options = webrtc.AudioDataCopyToOptions(plane_index=0)
        processor = webrtc.MediaStreamTrackProcessor(
            webrtc.MediaStreamTrackProcessorInit(self._track, max_buffer_size=2_000)
        )
        async for data in processor.readable:
            chunk = bytearray(data.allocation_size(options))
            data.copy_to(chunk, options)
            self._form = int(data.sample_rate), data.number_of_channels
            self._chunks.append((time.monotonic(), bytes(chunk)))
            data.close()

    def heard(self, start: float, frames: int) -> Pcm:
        """What was played from a moment on, at 24 kHz."""
        rate, channels = self._form
        # They come evenly; only telling us is uneven, and always late.
        first = min(came - _CHUNK * index for index, (came, _) in enumerate(self._chunks))
        sound = np.frombuffer(b"".join(chunk for _, chunk in self._chunks), np.int16)
        one: Pcm = sound.reshape(-1, channels)[:, 0]
        step = rate // SAMPLE_RATE
        pcm: Pcm = one[: len(one) // step * step].reshape(-1, step).mean(axis=1).astype(np.int16)
        skipped = max(0, round((start - first) * SAMPLE_RATE))
        return pcm[skipped : skipped + frames * FRAME_SAMPLES]

    async def concealed(self) -> float:
        """The share of samples that were made up, by libwebrtc's own count."""
        import webrtc.models.rtc_stats

        # libwebrtc writes numbers that are none, which are not JSON.
        parser: Any = webrtc.models.rtc_stats
        parser.json = _Json
        report: Any = await self._receiving.get_stats()
        for entry in report.values():
            if entry.type == "inbound-rtp":
                silent = entry.silent_concealed_samples or 0
                return float((entry.concealed_samples - silent) / entry.total_samples_received)
        return math.nan

    async def close(self) -> None:
        """End it."""
        self._ended.set()
        self._receiving.close()
        await self._sending.close()


class _Json:
    """`json`, with numbers that are none read as null."""

    @staticmethod
    def loads(text: str) -> Any:
        return json.loads(re.sub(r"(?<=:)-?(nan|inf)", "null", text, flags=re.IGNORECASE))
