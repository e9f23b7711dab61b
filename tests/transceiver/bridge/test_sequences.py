"""The bridge's core on any events in any order."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.transceiver.bridge.dialogue import Dialogue
from transceiver.bridge.core import Command, ToService
from transceiver.media.codec import FRAME_BYTES

IDS = st.sampled_from(["", "r1", "r2", "r3", None, 7])
KINDS = st.sampled_from(
    [
        *("session.created", "session.updated", "response.created", "response.done", "error"),
        *("response.audio.delta", "response.output_audio.delta", "response.output_audio.done"),
        *("input_audio_buffer.speech_started", "output_audio_buffer.started", "x"),
        *("response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"),
        *("session.update", "response.create"),
    ]
)
DELTA = st.sampled_from([base64.b64encode(bytes(size)).decode() for size in (1, 960, 5000)])
SESSION = st.sampled_from(
    [None, 1, {}, {"turn_detection": {"interrupt_response": True}}, {"turn_detection": 1}]
)
EVENTS = st.builds(
    lambda kind, response, item, delta, session, error, nested: {
        "type": kind,
        "response_id": response,
        "item_id": item,
        "delta": delta,
        "session": session,
        "error": error,
        "response": {"id": response, "status_details": {"reason": "turn_detected"}}
        if nested
        else response,
    },
    *(KINDS, IDS, IDS, DELTA, SESSION),
    st.sampled_from([None, "text", {"code": "response_cancel_not_active", "event_id": 3}]),
    st.booleans(),
)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["service", "client", "play", "lost", "connected"]), EVENTS),
        max_size=40,
    )
)
def test_whatever_comes_playing_begins_and_ends_in_turns(
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    talk = Dialogue()
    seen = Seen()
    for who, event in steps:
        for command in _step(talk, who, json.dumps(event)):
            seen.take(command)
    assert len(seen.shortened) == len(set(seen.shortened)), "each once"
    while talk.bridge.speak(talk.now)[0]:
        pass


class Seen:
    """What clients and services rely on, whatever comes."""

    def __init__(self) -> None:
        self.sounding = False
        self.shortened: list[str] = []

    def take(self, command: Command) -> None:
        body = json.loads(command.text)
        if isinstance(command, ToService):
            if str(body.get("event_id", "")).startswith("event_b") and "item_id" in body:
                self.shortened.append(body["item_id"])
            return
        assert body["event_id"]
        assert "audio.delta" not in body["type"]
        what = body["type"].removeprefix("output_audio_buffer.")
        if what in ("started", "stopped"):
            assert self.sounding is (what == "stopped")
        if what in ("started", "stopped", "cleared"):
            self.sounding = what == "started"


def _step(talk: Dialogue, who: str, text: str) -> list[Command]:
    match who:
        case "service":
            return talk.bridge.from_service(text, talk.now)
        case "client":
            return talk.bridge.from_client(text, talk.now)
        case "lost":
            return talk.bridge.lost("x")
        case "connected":
            return talk.bridge.connected()
    frame, commands = talk.bridge.speak(talk.now)
    assert frame is None or len(frame) == FRAME_BYTES
    talk.now += 0.02
    return commands
