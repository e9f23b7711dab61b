"""libwebrtc, the engine of Chromium, without the browser around it: the package `wrtc`.

Besides the WAV file that it says it may be given a file for what it plays: see
`tests.lab.clients.played`.
"""

import asyncio
import sys
import time
import wave
from pathlib import Path
from typing import Any

import webrtc

from tests.lab.clients.drivers.interface import CHANNELS, EVENTS, commands, emit, negotiated
from tests.lab.clients.played import chunk

_FRAME = 480  # samples: 10 ms, as an audio device gives them
_FRAME_BYTES = _FRAME * 2
_RATE = 48000  # Hz


class _Client:
    def __init__(self, played: Path | None) -> None:
        self._played = played
        self._listening: asyncio.Task[None] | None = None
        self._connection = webrtc.RTCPeerConnection(
            webrtc.RTCConfiguration(ice_servers=[], bundle_policy="max-bundle")
        )
        self.voice = webrtc.MediaStreamTrackGenerator("audio")
        self._sender = self._connection.add_track(self.voice)
        stream = negotiated()
        given = (
            {}
            if stream is None
            else {EVENTS: webrtc.RTCDataChannelInit(negotiated=True, id=stream)}
        )
        self._channels = {
            name: self._connection.create_data_channel(name, given.get(name)) for name in CHANNELS
        }
        for name in CHANNELS:
            self._watch_channel(name)
        self._reached: set[str] = set()
        self._energy_told = 0.0
        self._gathered = asyncio.Event()
        self._connection.on("icegatheringstatechange", lambda _: self._gathered.set())
        self._connection.on("iceconnectionstatechange", lambda _: self._look())
        self._connection.on("connectionstatechange", lambda _: self._look())
        if played is not None:
            self._connection.on("track", self._take)

    async def offer(self) -> None:
        await self._connection.set_local_description()
        if transport := self._sender.transport:
            transport.on("statechange", lambda _: self._look())
        while self._connection.ice_gathering_state != "complete":
            self._gathered.clear()
            await self._gathered.wait()
        description = self._connection.local_description
        emit("offer", sdp=description.sdp if description else "")

    async def obey(self, command: dict[str, Any]) -> None:
        match command["command"]:
            case "answer":
                answer = webrtc.RTCSessionDescriptionInit(type="answer", sdp=command["sdp"])
                await self._connection.set_remote_description(answer)
            case "restart":
                self._connection.restart_ice()
                await self.offer()
            case "send":
                self._channels[command["channel"]].send(command["text"])
            case "stats":
                await self._stats()

    def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._connection.close()
        emit("closed")

    def _take(self, event: Any) -> None:
        self._listening = asyncio.create_task(self._listen(event.track))

    async def _listen(self, track: Any) -> None:
        """Write down what is played, and when."""
        options = webrtc.AudioDataCopyToOptions(plane_index=0)
        processor = webrtc.MediaStreamTrackProcessor(
            webrtc.MediaStreamTrackProcessorInit(track, max_buffer_size=2_000)
        )
        assert self._played is not None
        with self._played.open("wb", buffering=0) as file:
            async for data in processor.readable:
                at = time.time()
                assert isinstance(data, webrtc.AudioData)
                sound = bytearray(data.allocation_size(options))
                data.copy_to(sound, options)
                file.write(chunk(at, int(data.sample_rate), data.number_of_channels, bytes(sound)))
                data.close()

    def _watch_channel(self, name: str) -> None:
        channel = self._channels[name]
        channel.on("open", lambda _: emit("open", channel=name))
        channel.on("message", lambda event: emit("message", channel=name, text=event.data))

    def _look(self) -> None:
        transport = self._sender.transport
        if self._connection.ice_connection_state in {"connected", "completed"}:
            self._reach("ice")
        if transport and transport.state == "connected":
            self._reach("dtls")
        if self._connection.connection_state == "failed":
            emit("error", text="the connection failed")

    def _reach(self, step: str) -> None:
        if step not in self._reached:
            self._reached.add(step)
            emit("connected", step=step)

    async def _stats(self) -> None:
        packets, energy = 0, 0.0
        for each in (await self._connection.get_stats()).values():
            if isinstance(each, webrtc.RTCInboundRtpStreamStats):
                packets += each.packets_received or 0
                energy += each.total_audio_energy or 0.0
        emit("stats", packets=packets, energy=energy - self._energy_told)
        self._energy_told = energy


async def _speak(voice: webrtc.MediaStreamTrackGenerator, samples: bytes) -> None:
    """Write the samples again and again, at their pace."""
    writer = voice.writable.get_writer()
    started, number = time.monotonic(), 0
    while True:
        at = number * _FRAME_BYTES % len(samples)
        frame = webrtc.AudioDataInit(
            format="s16",
            sample_rate=_RATE,
            number_of_frames=_FRAME,
            number_of_channels=1,
            timestamp=number * 10_000,
            data=samples[at : at + _FRAME_BYTES],
        )
        await writer.write(webrtc.AudioData(frame))
        number += 1
        await asyncio.sleep(started + number * _FRAME / _RATE - time.monotonic())


async def _main(wav: Path, played: Path | None = None) -> None:
    with wave.open(str(wav)) as file:
        samples = file.readframes(file.getnframes())
    client = _Client(played)
    speaking = asyncio.create_task(_speak(client.voice, samples))
    await client.offer()
    async for command in commands():
        await client.obey(command)
    speaking.cancel()
    client.close()


if __name__ == "__main__":
    asyncio.run(_main(*map(Path, sys.argv[1:])))
