"""Dialogues between a client and a service, with what the bridge adds; no socket, no clock."""

import base64
import json
from typing import Any

import pytest

from tests.transceiver.bridge.dialogue import Dialogue, told
from transceiver.bridge.core import ToClient, ToService
from transceiver.bridge.events import PCM
from transceiver.bridge.playout import MAX_WAITING
from transceiver.media.codec import FRAME_BYTES


def test_events_pass_both_ways_as_they_came() -> None:
    bridge = Dialogue().bridge
    text = '{ "type" : "never.heard.of", "event_id":"e", "x":[1.50] }'
    (there,), (here,) = bridge.from_client(text, 0.0), bridge.from_service(text, 0.0)
    assert isinstance(there, ToService)
    assert isinstance(here, ToClient)
    assert there.text == here.text == text
    append = '{"type": "input_audio_buffer.append", "audio": "AAAA"}'
    assert bridge.from_client(append, 0.0) == [(append,)]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\0", "invalid_event"),
        ("hello", "invalid_json"),
        ('{"x": 1}', "invalid_json"),
        ('{"error": "x"}', "invalid_json"),
    ],
)
def test_what_is_no_event_of_the_client_is_answered_here(message: str | bytes, code: str) -> None:
    assert told(Dialogue().bridge.from_client(message, 0.0)) == [f"client: error {code}"]


def test_a_spoken_response_is_played_and_told_of() -> None:
    talk = Dialogue()
    talk.session()
    talk.begins()
    assert talk.plays(1) == ["-"]
    assert talk.sounds(2.5) == []
    assert talk.plays(1) == ["client: output_audio_buffer.started response_id=r1"]
    assert talk.service("response.output_audio.done", response_id="r1", item_id="i1") == [
        "client: response.output_audio.done response_id=r1 item_id=i1"
    ]
    assert talk.plays(3) == ["-"], "the response is not done"
    assert talk.ends() == ["client: response.done"]
    assert talk.plays(2) == ["client: output_audio_buffer.stopped response_id=r1", "-", "-"]


def test_two_responses_in_a_row_stop_and_start() -> None:
    talk = Dialogue()
    for response in ("r1", "r2"):
        talk.begins(response)
        talk.sounds(2, response, f"item of {response}")
        talk.ends(response)
    assert talk.plays(5) == [
        "client: output_audio_buffer.started response_id=r1",
        "client: output_audio_buffer.stopped response_id=r1",
        "client: output_audio_buffer.started response_id=r2",
        "client: output_audio_buffer.stopped response_id=r2",
        "-",
    ]


def test_a_response_that_is_never_done_stops_when_another_begins() -> None:
    talk = Dialogue()
    talk.begins("r1")
    talk.sounds(1)
    assert talk.plays(3)[1:] == ["-", "-"]
    talk.begins("r2")
    assert talk.plays(1) == ["client: output_audio_buffer.stopped response_id=r1", "-"]


@pytest.mark.parametrize(
    ("detection", "cancels"), [({"interrupt_response": True}, False), ({}, True)]
)
def test_when_the_client_speaks_it_is_silent_at_once(
    detection: dict[str, Any], cancels: bool
) -> None:
    talk = Dialogue()
    talk.session(**detection)
    talk.bridge.delay = 0.045
    talk.begins()
    talk.sounds(100)
    talk.plays(10)
    cancel = ["service: response.cancel"] if cancels else []
    assert talk.service("input_audio_buffer.speech_started", item_id="i2") == [
        "client: input_audio_buffer.speech_started item_id=i2",
        *cancel,
        "client: output_audio_buffer.cleared response_id=r1",
        "service: conversation.item.truncate item_id=i1 audio_end_ms=155",
    ]
    assert talk.plays(1) == ["-"]
    assert talk.sounds(50) == [], "it comes late"
    assert talk.sounds(50, "r1", "i3") == []
    assert talk.plays(2) == ["-", "-"]
    assert talk.ends() == ["client: response.done"]
    assert talk.service("input_audio_buffer.speech_started") == [
        "client: input_audio_buffer.speech_started"
    ], "nothing is cut twice"
    talk.begins("r2")
    talk.sounds(1, "r2", "i4")
    assert talk.plays(1) == ["client: output_audio_buffer.started response_id=r2"]


def test_a_session_that_wants_no_interruption_has_none() -> None:
    talk = Dialogue()
    talk.session(interrupt_response=False)
    talk.begins()
    talk.sounds(5)
    talk.plays(1)
    assert talk.service("input_audio_buffer.speech_started") == [
        "client: input_audio_buffer.speech_started"
    ]
    assert talk.plays(4) == []


def test_an_item_of_which_nothing_was_heard_is_deleted() -> None:
    talk = Dialogue()
    talk.session(interrupt_response=True)
    talk.begins()
    talk.sounds(5, item="i1")
    talk.sounds(5, item="i2")
    talk.ends()
    talk.plays(2)
    assert talk.service("input_audio_buffer.speech_started")[2:] == [
        "service: conversation.item.truncate item_id=i1 audio_end_ms=40",
        "service: conversation.item.delete item_id=i2",
    ]


def test_a_service_that_ends_the_response_before_it_says_why() -> None:
    talk = Dialogue()
    talk.begins()
    talk.sounds(50)
    talk.plays(5)
    assert talk.ends(status="cancelled", status_details={"reason": "turn_detected"}) == [
        "client: response.done",
        "client: output_audio_buffer.cleared response_id=r1",
        "service: conversation.item.truncate item_id=i1 audio_end_ms=100",
    ]
    assert talk.service("input_audio_buffer.speech_started") == [
        "client: input_audio_buffer.speech_started"
    ]


def test_beta_names_and_no_ids_at_all() -> None:
    talk = Dialogue()
    delta = base64.b64encode(bytes(FRAME_BYTES)).decode()
    assert talk.service("response.audio.delta", delta=delta) == []
    assert talk.plays(2) == [
        "client: output_audio_buffer.started response_id=",
        "client: output_audio_buffer.stopped response_id=",
        "-",
    ]
    assert talk.service("response.done") == ["client: response.done"], "without a beginning"
    talk.service("response.audio.delta", delta=delta * 3)
    talk.plays(1)
    assert talk.service("input_audio_buffer.speech_started")[1:] == [
        "client: output_audio_buffer.cleared response_id="
    ]
    talk.service("response.audio.delta", delta=delta)
    assert talk.plays(1) == ["client: output_audio_buffer.started response_id="]


def test_the_client_has_it_be_silent() -> None:
    talk = Dialogue()
    assert talk.client("output_audio_buffer.clear") == [
        "client: output_audio_buffer.cleared response_id="
    ]
    talk.begins()
    talk.sounds(50)
    talk.plays(5)
    assert talk.client("response.cancel") == ["service: response.cancel"]
    assert talk.client("output_audio_buffer.clear") == [
        "client: output_audio_buffer.cleared response_id=r1",
        "service: conversation.item.truncate item_id=i1 audio_end_ms=100",
    ]
    talk.sounds(50)
    assert talk.plays(1) == ["-"]


def test_what_follows_of_a_response_that_was_silenced_is_not_heard() -> None:
    talk = Dialogue()
    talk.begins()
    talk.sounds(50)
    talk.plays(5)
    talk.client("output_audio_buffer.clear")
    talk.sounds(50, "r1", "i9")
    assert talk.plays(1) == ["-"]


def test_sound_after_the_end_of_its_response_is_played_and_ends() -> None:
    talk = Dialogue()
    talk.begins()
    talk.ends()
    talk.sounds(1)
    talk.plays(1)
    talk.service("response.output_audio.done", response_id="r1", item_id="i1", content_index=0)
    assert talk.plays(1) == ["client: output_audio_buffer.stopped response_id=r1", "-"]


def test_a_client_that_names_no_item_does_not_silence_services_that_name_none() -> None:
    talk = Dialogue()
    assert talk.client("conversation.item.delete") == ["service: conversation.item.delete"]
    talk.sounds(1, "r1", "")
    assert talk.plays(1) == ["client: output_audio_buffer.started response_id=r1"]


def test_what_the_client_cancels_is_played_as_far_as_it_came() -> None:
    talk = Dialogue()
    talk.begins()
    talk.sounds(2)
    talk.client("response.cancel")
    talk.sounds(2)
    talk.ends()
    assert talk.plays(3) == [
        "client: output_audio_buffer.started response_id=r1",
        "client: output_audio_buffer.stopped response_id=r1",
        "-",
    ]


def test_a_response_beside_the_conversation_is_not_interrupted() -> None:
    talk = Dialogue()
    talk.session()
    talk.service("response.created", response={"id": "beside", "conversation_id": None})
    assert talk.service("input_audio_buffer.speech_started") == [
        "client: input_audio_buffer.speech_started"
    ]


def error(**said: Any) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", **said}}


def test_errors_that_only_our_events_caused_are_not_told() -> None:
    talk = Dialogue()
    talk.session()
    talk.begins()
    talk.sounds(50)
    talk.plays(5)
    commands = talk.bridge.from_service('{"type": "input_audio_buffer.speech_started"}', talk.now)
    sent = [json.loads(each.text) for each in commands if not isinstance(each, ToClient)]
    assert [each["type"] for each in sent] == ["response.cancel", "conversation.item.truncate"]
    for each in sent:
        assert talk.service("error", **error(message="no", event_id=each["event_id"])) == []
    not_active = error(code="response_cancel_not_active", message="Cancellation failed")
    assert talk.service("error", **not_active) == [], "a service that names no event"
    talk.client("response.cancel")
    assert talk.service("error", **not_active) == ["client: error response_cancel_not_active"]
    quota = error(code="insufficient_quota", message="pay")
    assert talk.service("error", **quota) == ["client: error insufficient_quota"]


def test_a_lost_service_ends_the_turn_in_words() -> None:
    talk = Dialogue()
    talk.begins()
    talk.sounds(2)
    commands = talk.bridge.lost("it is gone")
    failure, done = (json.loads(each.text) for each in commands)
    assert failure["error"]["message"] == "it is gone"
    assert (failure["type"], failure["error"]["code"]) == ("error", "backend_lost")
    assert (done["type"], done["response"]["id"]) == ("response.done", "r1")
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"]["error"]["message"] == "it is gone"
    assert talk.plays(3) == [
        "client: output_audio_buffer.started response_id=r1",
        "client: output_audio_buffer.stopped response_id=r1",
        "-",
    ]
    assert told(talk.bridge.lost("again")) == ["client: error backend_lost"]


def test_a_service_is_told_the_session_whenever_it_is_connected() -> None:
    talk = Dialogue({"instructions": "be brief", "model": "gpt"}, voice="marin")
    (first,) = talk.bridge.connected()
    voice = {"output": {"voice": "marin"}}
    assert json.loads(first.text)["session"] == {
        "type": "realtime",
        "audio": voice,
        "instructions": "be brief",
    }
    talk.service("session.updated", session={})
    talk.client("session.update", session={"type": "realtime", "instructions": "be long"})
    talk.service("session.updated", session={})
    (again,) = talk.bridge.connected()
    assert json.loads(again.text)["session"]["instructions"] == "be long"
    assert Dialogue().bridge.connected() == []


def test_an_update_that_was_refused_is_not_told_again() -> None:
    talk = Dialogue({"instructions": "be brief"})
    talk.bridge.connected()
    talk.client("session.update", event_id="mine", session={"speed": 99})
    talk.service("session.updated", session={})  # which answers ours
    talk.service("error", error={"code": "invalid_value", "event_id": "mine"})
    (again,) = talk.bridge.connected()
    assert "speed" not in json.loads(again.text)["session"]


@pytest.mark.parametrize("kind", ["session.update", "response.create"])
def test_the_clients_wish_for_another_format_stays_here(kind: str) -> None:
    name = kind.partition(".")[0]
    said = {"instructions": "привет", "metadata": {"half": "\ud83d"}}
    wish = said | {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
    (sent,) = Dialogue().bridge.from_client(json.dumps({"type": kind, name: wish}), 0.0)
    assert json.loads(sent.text)[name] == said | {"audio": {"output": {"format": PCM}}}
    assert "привет".encode() in sent.text.encode()


def test_sound_that_is_minutes_ahead_is_left_out_in_words() -> None:
    talk = Dialogue()
    talk.begins()
    frames = MAX_WAITING // FRAME_BYTES + 1
    assert talk.sounds(frames) == []
    assert talk.sounds(1) == ["client: error backend_fast"]
    assert talk.sounds(1) == []
    talk.plays(3)
    assert talk.sounds(1) == []
    talk.client("output_audio_buffer.clear")
    talk.begins("r2")
    talk.sounds(1, "r2", "i2")
    assert talk.plays(1) == ["client: output_audio_buffer.started response_id=r2"]


def test_what_no_service_should_send_is_counted() -> None:
    talk = Dialogue()
    assert talk.bridge.from_service("hello", 0.0) == []
    assert talk.bridge.from_service(b"\0", 0.0) == []
    assert talk.service("response.output_audio.delta", delta="AAA") == []
    assert talk.service("output_audio_buffer.started", response_id="x") == []
    assert talk.bridge.counts == {
        "service_sent_no_event": 2,
        "sound_not_base64": 1,
        "service_spoke_of_playing": 1,
    }


def test_the_clients_sound_is_sent_in_events() -> None:
    bridge = Dialogue().bridge
    frames = [bytes([number]) * FRAME_BYTES for number in range(3)]
    sent = [json.loads(bridge.hear(frame)) for frame in frames]
    assert [base64.b64decode(event["audio"]) for event in sent] == frames
    assert {event["type"] for event in sent} == {"input_audio_buffer.append"}


def remembered(talk: Dialogue) -> None:
    """A dialogue of two items."""
    talk.service("session.created", session={"id": "sess_1"})
    talk.client("conversation.item.create", item={"id": "u1"})
    said = [{"type": "input_text", "text": "hello"}]
    item = {"id": "u1", "type": "message", "role": "user", "content": said}
    talk.service("conversation.item.added", item=item)
    answer = {"id": "a1", "type": "message", "role": "assistant", "content": []}
    talk.service("conversation.item.added", item=answer, previous_item_id="u1")
    talk.service("response.output_text.done", item_id="a1", content_index=0, text="good day")


def test_a_service_that_has_forgotten_is_told_what_was_said() -> None:
    talk = Dialogue()
    remembered(talk)
    talk.bridge.lost("it broke")
    talk.bridge.connected()
    talk.service("session.created", session={"id": "sess_2"})
    commands = talk.bridge.catch_up(talk.now)
    told_again = [json.loads(each.text) for each in commands]
    assert [each["item"]["id"] for each in told_again] == ["u1", "a1"]
    assert told_again[1]["item"]["content"] == [{"type": "output_text", "text": "good day"}]
    assert all(isinstance(each, ToService) for each in commands)
    assert talk.bridge.counts["items_told_again"] == 2
    for item in (each["item"] for each in told_again):
        assert talk.service("conversation.item.added", item=item) == [], "the client knows"
        assert talk.service("conversation.item.done", item=item) == []
    new = {"id": "u2", "type": "message", "role": "user", "content": []}
    assert talk.service("conversation.item.added", item=new)


def test_a_service_that_goes_on_with_its_session_is_told_nothing() -> None:
    talk = Dialogue()
    remembered(talk)
    talk.bridge.lost("it broke")
    talk.bridge.connected()
    talk.service("session.created", session={"id": "sess_1"})
    assert talk.bridge.catch_up(talk.now) == []


def test_a_service_that_does_not_greet_is_told() -> None:
    talk = Dialogue()
    remembered(talk)
    talk.bridge.lost("it broke")
    talk.bridge.connected()
    assert len(talk.bridge.catch_up(talk.now)) == 2


@pytest.mark.parametrize("named", [True, False])
def test_what_it_says_against_that_is_not_the_clients_matter(named: bool) -> None:
    talk = Dialogue()
    remembered(talk)
    talk.now += 60
    talk.bridge.connected()
    ours = json.loads(talk.bridge.catch_up(talk.now)[0].text)["event_id"]
    fault = {"event_id": ours} if named else {"message": "Error in conversation.item.create"}
    assert talk.service("error", error=fault) == []
    talk.client("conversation.item.create", event_id="mine", item={})
    assert talk.service("error", error={"event_id": "mine"}) == ["client: error None"]
