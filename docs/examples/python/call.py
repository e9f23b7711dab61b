"""A call over WebRTC with aiortc: says what is in a file, records the answer, shows what was said.

    pip install aiortc aiohttp
    python call.py question.wav answer.wav

It hangs up when the first answer has been heard.
"""

import asyncio
import json
import os
import sys

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRecorder

BASE = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("OPENAI_API_KEY", "none")


def told(event, ended):
    """Show what was said; notice when the answer has been played, or why there is none."""
    match event["type"]:
        case "conversation.item.input_audio_transcription.completed":
            print("you:", event["transcript"], flush=True)
        case "response.output_audio_transcript.done":
            print("agent:", event["transcript"], flush=True)
        case "output_audio_buffer.stopped":
            ended.set()
        case "error":
            print(event["error"]["message"], file=sys.stderr)
            ended.set()


async def exchange(offer):
    """Post the offer; the call's id and the answer."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/sdp"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{BASE}/realtime/calls", data=offer, headers=headers) as posted,
    ):
        if not posted.ok:
            sys.exit((await posted.json())["error"]["message"])
        return posted.headers["Location"].rpartition("/")[2], await posted.text()


async def call(question: str, answer: str) -> None:
    """Talk to the server."""
    # Without iceServers aiortc asks a public STUN server for its address: nobody needs that here.
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    player, recorder = MediaPlayer(question), MediaRecorder(answer)
    peer.addTrack(player.audio)
    events = peer.createDataChannel("oai-events")
    ended = asyncio.Event()

    @peer.on("track")
    async def on_track(track):
        recorder.addTrack(track)
        await recorder.start()

    @peer.on("connectionstatechange")
    def on_connectionstatechange():
        if peer.connectionState == "failed":
            print("the server cannot be reached by UDP", file=sys.stderr)
            ended.set()

    @events.on("open")
    def on_open():
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        session = {"type": "realtime", "audio": audio}
        events.send(json.dumps({"type": "session.update", "session": session}))

    @events.on("message")
    def on_message(message):
        told(json.loads(message), ended)

    await peer.setLocalDescription(await peer.createOffer())
    call_id, sdp = await exchange(peer.localDescription.sdp)
    print("call:", call_id, flush=True)
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    await ended.wait()
    await recorder.stop()
    await peer.close()


asyncio.run(call(*sys.argv[1:3]))
