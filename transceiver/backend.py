"""Backends, which answer calls: the interface, and the built-in echo."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from aiortc import MediaStreamTrack, RTCDataChannel
from aiortc.mediastreams import MediaStreamError

if TYPE_CHECKING:
    from av.frame import Frame
    from av.packet import Packet

EVENTS_LABEL = "oai-events"  # the channel of OpenAI's Realtime API over WebRTC
MAX_WAITING_FRAMES = 10  # 200 ms of audio; older frames are late and dropped
MAX_SESSION = 1 << 16  # characters of JSON that updates may make of a session
MAX_BUFFERED = 1 << 20  # bytes that a channel may have to send before answers are dropped


class Backend(Protocol):
    """What answers the client of one session."""

    def audio(self, track: MediaStreamTrack) -> MediaStreamTrack:
        """Take the client's audio track; returns the track to send to the client."""

    def channel(self, channel: RTCDataChannel) -> None:
        """Take a data channel that the client has opened."""

    def close(self) -> None:
        """The session has ended."""


BackendFactory = Callable[[str], Backend]  # from a session id


class EchoTrack(MediaStreamTrack):
    """Plays the frames of another track.

    The other track is read even when nobody reads this one, as it would queue frames otherwise.
    """

    kind = "audio"

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self._source = source
        self._frames: asyncio.Queue[Frame | Packet[Any] | None] = asyncio.Queue(MAX_WAITING_FRAMES)
        self._pump = asyncio.create_task(self._read())

    async def recv(self) -> Frame | Packet[Any]:
        """The next frame.

        Raises:
            MediaStreamError: The track has ended.
        """
        frame = await self._frames.get() if self.readyState == "live" else None
        if frame is None:
            self.stop()
            raise MediaStreamError
        return frame

    def stop(self) -> None:
        """End the track."""
        self._pump.cancel()
        super().stop()

    async def _read(self) -> None:
        try:
            while True:
                self._put(await self._source.recv())
        except MediaStreamError:
            self._put(None)

    def _put(self, frame: Frame | Packet[Any] | None) -> None:
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(frame)


class EchoBackend:
    """Sends back the audio and the messages of the client.

    On the channel `oai-events` it also sends the events of the Realtime API that clients wait for:
    `session.created` when the channel opens, `session.updated` for each `session.update`.

    Args:
        session_id: Names the session in events.
    """

    def __init__(self, session_id: str) -> None:
        self._tracks: list[EchoTrack] = []
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": "echo",
        }

    def audio(self, track: MediaStreamTrack) -> MediaStreamTrack:
        """See `Backend`."""
        echo = EchoTrack(track)
        self._tracks.append(echo)
        return echo

    def channel(self, channel: RTCDataChannel) -> None:
        """See `Backend`."""
        events = channel.label == EVENTS_LABEL

        def on_message(message: str | bytes) -> None:
            answer = self._event_answer(message) if events else None
            _send(channel, message if answer is None else answer)

        channel.on("message", on_message)
        if events:
            _send(channel, _event("session.created", session=self._session))

    def close(self) -> None:
        """See `Backend`."""
        for track in self._tracks:
            track.stop()

    def _event_answer(self, message: str | bytes) -> str | None:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return None
        if not isinstance(event, dict) or event.get("type") != "session.update":
            return None
        update = event.get("session")
        if not isinstance(update, dict):
            return _event("error", error={"message": "`session` must be an object"})
        session = self._session | update | {"id": self._session["id"]}
        if len(json.dumps(session)) > MAX_SESSION:
            return _event("error", error={"message": "the session has become too large"})
        self._session = session
        return _event("session.updated", session=session)


def _event(kind: str, **content: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "event_id": f"event_{secrets.token_hex(12)}", **content})


def _send(channel: RTCDataChannel, message: str | bytes) -> None:
    if channel.readyState == "open" and channel.bufferedAmount < MAX_BUFFERED:
        channel.send(message)
