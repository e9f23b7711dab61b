"""The engine as a client meets it: which events answer which, and in which order."""

import base64

import pytest

from tests.transceiver.realtime.dialogue import MS, Dialogue, types
from transceiver.realtime.commands import Close, Generate, Hear, Listen, Stop, Transcribe
from transceiver.realtime.sound import KEPT_OF_SILENCE

TEXT_TURN = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def test_a_session_begins_with_itself_and_listens(talk: Dialogue) -> None:
    (created,) = talk.begun
    assert created["type"] == "session.created"
    assert created["session"]["id"] == "sess_1"
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    listen = talk.last(Listen)
    assert (listen.turn_detection or {})["silence_duration_ms"] == 500
    assert listen.start_ms == 0


class TestOrders:
    def test_a_text_turn(self, talk: Dialogue) -> None:
        said = talk.write("hello")
        assert types(said) == ["conversation.item.added", "conversation.item.done"]
        created = talk.tell("response.create", response={"output_modalities": ["text"]})
        assert types(created) == ["response.created"]
        name = created[0]["response"]["id"]
        events = talk.take(talk.engine.say(name, "Hello. "))
        events += talk.take(talk.engine.say(name, "Bye."))
        events += talk.take(talk.engine.finish(name))
        assert types(events) == TEXT_TURN
        assert events[5]["text"] == "Hello. Bye."
        assert events[2]["part"] == {"type": "text", "text": ""}
        assert events[0]["item"]["content"] == []
        assert events[1]["previous_item_id"] == said[0]["item"]["id"]
        done = events[-1]["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello. Bye."}]
        assert done["usage"]["input_tokens"] == 2
        assert done["usage"]["output_tokens"] == 3
        assert talk.engine.active is None

    def test_a_spoken_turn(self, talk: Dialogue) -> None:
        talk.append(1000)
        assert talk.last(Hear).sound == 1000 * MS
        started = talk.take(talk.engine.speech_started(200))
        assert types(started) == ["input_audio_buffer.speech_started"]
        assert started[0]["audio_start_ms"] == 200
        talk.append(500)
        assert len(talk.engine.turn_until(700)) == 500 * len(MS)
        stopped = talk.take(talk.engine.speech_stopped(1400))
        assert talk.engine.turn_until(1400) == b"", "none goes on"
        assert types(stopped) == [
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
        name = started[0]["item_id"]
        assert {each["item_id"] for each in stopped[:2]} == {name}
        assert stopped[2]["item"]["id"] == name
        assert stopped[3]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        asked = talk.last(Transcribe)
        assert (asked.item_id, len(asked.sound)) == (name, 1200 * len(MS))
        response = talk.last(Generate).response
        events = talk.take(talk.engine.say(response.id, "Hello.", 100 * MS))
        events += talk.take(talk.engine.say(response.id, "", 100 * MS))
        events += talk.take(talk.engine.finish(response.id))
        assert types(events) == [
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        assert events[2]["part"] == {"type": "audio", "transcript": ""}
        assert base64.b64decode(events[4]["delta"]) == 100 * MS
        content = {"type": "output_audio", "transcript": "Hello."}
        assert events[-1]["response"]["output"][0]["content"] == [content]

    def test_a_function_call(self, talk: Dialogue) -> None:
        name = talk.respond()
        events = talk.take(talk.engine.call(name, "weather", '{"city": "Rome"}'))
        events += talk.take(talk.engine.call(name, "time", "{}"))
        events += talk.take(talk.engine.finish(name))
        call = [
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
        ]
        assert types(events) == [*call, *call, "response.done"]
        assert events[0]["item"]["arguments"] == ""
        assert events[1]["item"]["name"] == "weather", "pipecat takes it from there"
        assert events[5]["item"]["status"] == "completed"
        assert events[5]["item"]["arguments"] == '{"city": "Rome"}'
        assert [each["output_index"] for each in events if "output_index" in each][-1] == 1
        assert events[3]["call_id"] == events[5]["item"]["call_id"]
        given = {"type": "function_call_output", "call_id": events[3]["call_id"], "output": "20"}
        assert types(talk.tell("conversation.item.create", item=given)) == [
            "conversation.item.added",
            "conversation.item.done",
        ]

    @pytest.mark.parametrize("speaks", [True, False])
    def test_cancelling(self, talk: Dialogue, *, speaks: bool) -> None:
        name = talk.respond(output_modalities=["audio" if speaks else "text"])
        talk.take(talk.engine.say(name, "Well, ", 20 * MS))
        events = talk.tell("response.cancel")
        assert types(events)[-4:] == [
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        assert events[-2]["item"]["status"] == "incomplete"
        done = events[-1]["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert talk.last(Stop).response_id == name
        assert talk.take(talk.engine.say(name, "late", MS)) == []
        assert talk.take(talk.engine.finish(name)) == []
        assert talk.take(talk.engine.call(name, "late", "{}")) == []
        assert talk.take(talk.engine.fail(name, "late", "late")) == []

    def test_speech_ends_the_response(self, talk: Dialogue) -> None:
        name = talk.respond()
        talk.take(talk.engine.say(name, "Well, ", 20 * MS))
        talk.append(500)
        events = talk.take(talk.engine.speech_started(100))
        assert types(events)[0] == "input_audio_buffer.speech_started"
        assert types(events)[-1] == "response.done"
        assert events[-1]["response"]["status_details"]["reason"] == "turn_detected"
        assert talk.take(talk.engine.speech_started(100)) == [], "it has started already"

    def test_speech_does_not_where_the_session_says_so(self, talk: Dialogue) -> None:
        detection = {"type": "server_vad", "interrupt_response": False}
        talk.tell(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
        )
        name = talk.respond()
        talk.append(500)
        assert types(talk.take(talk.engine.speech_started(0))) == [
            "input_audio_buffer.speech_started"
        ]
        stopped = talk.take(talk.engine.speech_stopped(400))
        assert types(stopped)[-1] == "conversation.item.done", "one response at a time"
        events = talk.take(talk.engine.finish(name))
        assert types(events) == ["response.done", "response.created"], "the turn is answered then"

    def test_turns_are_only_committed_where_the_session_says_so(self, talk: Dialogue) -> None:
        detection = {"type": "server_vad", "create_response": False}
        talk.tell(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
        )
        talk.append(500)
        talk.take(talk.engine.speech_started(0))
        assert types(talk.take(talk.engine.speech_stopped(400)))[-1] == "conversation.item.done"

    def test_manual_turns(self, manual: Dialogue) -> None:
        assert manual.last(Listen).turn_detection is None
        assert manual.append(100) == []
        assert not [each for each in manual.commands if isinstance(each, Hear)]
        assert types(manual.tell("input_audio_buffer.commit")) == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert types(manual.tell("response.create")) == ["response.created"]
        history = manual.last(Generate).response.history
        assert [len(part.sound) for item in history for part in item.content] == [100 * len(MS)]

    def test_a_failure(self, talk: Dialogue) -> None:
        (done,) = talk.take(talk.engine.fail(talk.respond(), "server_error", "no voice"))
        response = done["response"]
        assert (response["status"], response["output"]) == ("failed", [])
        assert response["usage"]["total_tokens"] == 0
        assert response["status_details"]["error"]["code"] == "server_error"

    def test_silence(self, talk: Dialogue) -> None:
        talk.append(7000)
        events = talk.take(talk.engine.stayed_silent(1000, 6000))
        assert types(events) == [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
        assert (events[0]["audio_start_ms"], events[0]["audio_end_ms"]) == (1000, 6000)
        assert len(talk.last(Transcribe).sound) == 5000 * len(MS)

    def test_the_server_speaks_up(self, talk: Dialogue) -> None:
        assert types(talk.take(talk.engine.speak_up())) == ["response.created"]
        assert talk.take(talk.engine.speak_up()) == []
        name = talk.last(Generate).response.id
        assert types(talk.take(talk.engine.finish(name))) == ["response.done", "response.created"]

    def test_the_end_of_its_life(self, talk: Dialogue) -> None:
        assert talk.error(talk.take(talk.engine.expire())) == ("session_expired", None)
        assert talk.last(Close).reason == "session_expired"


class TestSession:
    def test_what_is_wrong_changes_nothing(self, talk: Dialogue) -> None:
        session = {"type": "realtime", "instructions": "new", "max_output_tokens": 0}
        assert talk.error(talk.tell("session.update", session=session)) == (
            "invalid_value",
            "session.max_output_tokens",
        )
        (updated,) = talk.tell("session.update", session={"type": "realtime"})
        assert updated["session"]["instructions"] == ""

    def test_turn_detection_that_changes_is_listened_with(self, talk: Dialogue) -> None:
        talk.append(300)
        before = len([each for each in talk.commands if isinstance(each, Listen)])
        talk.tell("session.update", session={"type": "realtime", "instructions": "x"})
        assert len([each for each in talk.commands if isinstance(each, Listen)]) == before
        semantic = {"type": "semantic_vad", "eagerness": "high"}
        talk.tell(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": semantic}}},
        )
        listen = talk.last(Listen)
        assert (listen.turn_detection or {})["eagerness"] == "high"
        assert listen.start_ms == 300

    def test_its_voice_stays_once_it_has_sounded(self, talk: Dialogue) -> None:
        voice = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
        assert types(talk.tell("session.update", session=voice)) == ["session.updated"]
        name = talk.respond()
        talk.take(talk.engine.say(name, "Hello.", MS))
        other = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        assert talk.error(talk.tell("session.update", session=other)) == (
            "cannot_update_voice",
            "session.audio.output.voice",
        )
        assert types(talk.tell("session.update", session=voice)) == ["session.updated"], "the same"
        talk.take(talk.engine.finish(name))
        again = {"audio": {"output": {"voice": "cedar"}}}
        assert talk.error(talk.tell("response.create", response=again)) == (
            "cannot_update_voice",
            "response.audio.output.voice",
        )

    def test_its_speed_changes_between_turns(self, talk: Dialogue) -> None:
        faster = {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
        name = talk.respond()
        assert talk.error(talk.tell("session.update", session=faster))[0] == "invalid_value"
        talk.take(talk.engine.finish(name))
        assert types(talk.tell("session.update", session=faster)) == ["session.updated"]

    def test_its_kind_changes_before_it_is_used(self, talk: Dialogue) -> None:
        (updated,) = talk.tell("session.update", session={"type": "transcription"})
        assert updated["session"]["object"] == "realtime.transcription_session"
        talk.tell("session.update", session={"type": "realtime"})
        talk.write("hello")
        assert talk.error(talk.tell("session.update", session={"type": "transcription"})) == (
            "invalid_value",
            "session.type",
        )

    def test_sound_comes_in_its_format(self, manual: Dialogue) -> None:
        form = {"type": "audio/pcmu"}
        manual.tell(
            "session.update", session={"type": "realtime", "audio": {"input": {"format": form}}}
        )
        audio = base64.b64encode(b"\xff" * 8 * 250).decode()
        manual.tell("input_audio_buffer.append", audio=audio)
        manual.tell("input_audio_buffer.commit")
        assert len(manual.last(Transcribe).sound) == 250 * len(MS)


class TestItems:
    def test_they_go_where_they_are_told(self, talk: Dialogue) -> None:
        for name in ("a", "b"):
            talk.write(name, id=name)
        item = {"type": "message", "role": "system", "content": []}
        for previous, name, after in (("root", "c", None), ("a", "d", "a")):
            added, done = talk.tell(
                "conversation.item.create", item=item | {"id": name}, previous_item_id=previous
            )
            assert added.get("previous_item_id") == done.get("previous_item_id") == after
        assert [each.id for each in talk.engine.conversation] == ["c", "a", "d", "b"]

    def test_an_id_is_taken_once_and_a_place_must_be(self, talk: Dialogue) -> None:
        talk.write("hello", id="a")
        assert talk.error(talk.write("again", id="a")) == (
            "item_create_duplicate_item_id",
            "item.id",
        )
        item = {"type": "message", "role": "system", "content": []}
        assert talk.error(
            talk.tell("conversation.item.create", item=item, previous_item_id="nowhere")
        ) == ("invalid_value", "previous_item_id")

    def test_what_was_not_heard_is_cut_off(self, talk: Dialogue) -> None:
        talk.write("hello", id="mine")
        name = talk.respond()
        talk.take(talk.engine.say(name, "A long story.", 500 * MS))
        (done,) = [each for each in talk.take(talk.engine.finish(name)) if "response" in each]
        item = done["response"]["output"][0]["id"]
        cut = {"item_id": item, "content_index": 0}
        assert talk.error(talk.tell("conversation.item.truncate", **cut, audio_end_ms=501)) == (
            "invalid_value",
            "audio_end_ms",
        )
        (truncated,) = talk.tell("conversation.item.truncate", **cut, audio_end_ms=200)
        assert truncated["audio_end_ms"] == 200
        (retrieved,) = talk.tell("conversation.item.retrieve", item_id=item)
        assert retrieved["item"]["content"] == [{"type": "output_audio"}]
        wrong = {"item_id": "mine", "content_index": 0, "audio_end_ms": 0}
        assert talk.error(talk.tell("conversation.item.truncate", **wrong))[0] == (
            "unsupported_content_type"
        )

    def test_what_is_cut_while_it_is_said_stays_cut(self, talk: Dialogue) -> None:
        name = talk.respond()
        first = talk.take(talk.engine.say(name, "A long ", 500 * MS))
        item = first[0]["item"]["id"]
        talk.tell("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=20)
        talk.take(talk.engine.say(name, "story.", 500 * MS))
        events = talk.take(talk.engine.finish(name))
        assert events[1]["transcript"] == "A long story.", "the events tell what was sent"
        assert events[-1]["response"]["output"][0]["content"] == [{"type": "output_audio"}]

    def test_a_cleared_buffer_forgets_the_speech(self, talk: Dialogue) -> None:
        talk.append(500)
        talk.take(talk.engine.speech_started(0))
        talk.tell("input_audio_buffer.clear")
        assert talk.last(Listen).start_ms == 500
        assert talk.take(talk.engine.speech_stopped(400)) == []

    def test_a_commit_in_speech_takes_its_id(self, talk: Dialogue) -> None:
        talk.append(500)
        (started,) = talk.take(talk.engine.speech_started(0))
        committed = talk.tell("input_audio_buffer.commit")
        assert committed[0]["item_id"] == started["item_id"]

    def test_silence_is_not_kept_for_ever(self, talk: Dialogue) -> None:
        for _ in range(4):
            talk.append(10_000)
        talk.tell("input_audio_buffer.commit")
        assert len(talk.last(Transcribe).sound) == KEPT_OF_SILENCE
