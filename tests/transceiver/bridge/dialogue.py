"""A bridge between two sides that a test speaks for."""

import base64
import itertools
import json
from typing import Any

from transceiver.bridge.core import Bridge, Command, ToClient
from transceiver.bridge.settings import SessionSettings
from transceiver.media.codec import FRAME_BYTES

VAD = {"type": "server_vad", "create_response": True}


class Dialogue:
    """A bridge, and what it told both sides, in words that a test can compare."""

    def __init__(self, session: dict[str, Any] | None = None, voice: str = "") -> None:
        numbers = itertools.count()
        settings = SessionSettings(session or {}, voice)
        self.bridge = Bridge(lambda: f"event_b{next(numbers)}", settings)
        self.now = 0.0

    def service(self, kind: str, **content: Any) -> list[str]:
        body = {"type": kind, "event_id": "event_s", **content}
        return told(self.bridge.from_service(json.dumps(body), self.now))

    def client(self, kind: str, **content: Any) -> list[str]:
        return told(self.bridge.from_client(json.dumps({"type": kind, **content}), self.now))

    def session(self, **detection: Any) -> None:
        session = {"audio": {"input": {"turn_detection": VAD | detection}}}
        self.service("session.created", session=session)

    def begins(self, response: str = "r1") -> None:
        self.service("response.created", response={"id": response})

    def sounds(self, frames: float, response: str = "r1", item: str = "i1") -> list[str]:
        pcm = b"\1\0" * round(frames * FRAME_BYTES / 2)
        return self.service(
            "response.output_audio.delta",
            response_id=response,
            item_id=item,
            content_index=0,
            delta=base64.b64encode(pcm).decode(),
        )

    def ends(self, response: str = "r1", **details: Any) -> list[str]:
        return self.service("response.done", response={"id": response, **details})

    def plays(self, frames: int) -> list[str]:
        """Pull so many frames; what was told, and `-` for each frame of silence."""
        seen = []
        for _ in range(frames):
            frame, commands = self.bridge.speak(self.now)
            self.now += 0.02
            seen += told(commands) + (["-"] if frame is None else [])
        return seen


def told(commands: list[Command]) -> list[str]:
    """`client: kind ...` and `service: kind ...` for each command."""
    found = []
    for each in commands:
        body = json.loads(each.text)
        side = "client" if isinstance(each, ToClient) else "service"
        details = [
            f"{name}={body[name]}"
            for name in ("response_id", "item_id", "audio_end_ms", "code")
            if name in body
        ]
        if body["type"] == "error":
            details.append(str(body["error"].get("code")))
        found.append(" ".join([f"{side}: {body['type']}", *details]))
    return found
