"""aiortc, as it is: it has no ICE restart."""

import asyncio
import sys
import wave
from pathlib import Path
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy

from relay.caller.audio import AudioSink, PacedTrack
from tests.lab.clients.drivers.interface import CHANNELS, EVENTS, commands, emit, negotiated

_FRAME_BYTES = 1920  # 20 ms


class _Client:
    def __init__(self, frames: list[bytes]) -> None:
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._sender = self._connection.addTrack(PacedTrack(frames))
        stream = negotiated()
        given: dict[str, dict[str, Any]] = (
            {} if stream is None else {EVENTS: {"negotiated": True, "id": stream}}
        )
        self._channels = {
            name: self._connection.createDataChannel(name, **given.get(name, {}))
            for name in CHANNELS
        }
        self._sink, self._told = AudioSink(), 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._connection.on("track", self._on_track)
        for name in CHANNELS:
            self._watch_channel(name)
        dtls = self._sender.transport
        self._watch("ice", dtls.transport, "completed")
        self._watch("dtls", dtls, "connected")

    async def offer(self) -> None:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        emit("offer", sdp=self._connection.localDescription.sdp)

    async def obey(self, command: dict[str, Any]) -> None:
        match command["command"]:
            case "answer":
                answer = RTCSessionDescription(command["sdp"], "answer")
                await self._connection.setRemoteDescription(answer)
            case "send":
                self._channels[command["channel"]].send(command["text"])
            case "stats":
                await self._stats()
            case name:
                emit("unsupported", text=f"aiortc has no {name}")

    async def close(self) -> None:
        await self._connection.close()
        emit("closed")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.ensure_future(self._sink.consume(track)))

    def _watch_channel(self, name: str) -> None:
        channel = self._channels[name]
        channel.on("open", lambda: emit("open", channel=name))
        channel.on("message", lambda text: emit("message", channel=name, text=text))

    def _watch(self, step: str, transport: Any, state: str) -> None:
        def changed() -> None:
            if transport.state == state:
                emit("connected", step=step)

        transport.on("statechange", changed)

    async def _stats(self) -> None:
        report = await self._connection.getStats()
        packets = sum(
            each.packetsReceived for each in report.values() if each.type == "inbound-rtp"
        )
        energy, self._told = self._sink.energy - self._told, self._sink.energy
        emit("stats", packets=packets, energy=energy)


async def _main(wav: Path) -> None:
    with wave.open(str(wav)) as file:
        samples = file.readframes(file.getnframes())
    client = _Client([samples[i : i + _FRAME_BYTES] for i in range(0, len(samples), _FRAME_BYTES)])
    await client.offer()
    async for command in commands():
        await client.obey(command)
    await client.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
