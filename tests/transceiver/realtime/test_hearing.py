"""What the client says: its buffer and its transcripts. Turns are in test_engine.py."""

import base64

from tests.transceiver.realtime.dialogue import MS, Dialogue, types
from transceiver.realtime.commands import Listen, Transcribe
from transceiver.realtime.sound import MAX_BUFFER

WITH_TRANSCRIPTS = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}


class TestBuffer:
    def test_a_client_that_commits_nothing_is_told_nothing(self, manual: Dialogue) -> None:
        """Such as a call whose button is not pressed: its silence comes all the time."""
        silence = bytes(MAX_BUFFER // 4)
        for _ in range(5):
            manual.say(silence)
        assert manual.append(300) == []
        assert manual.engine.size == MAX_BUFFER
        committed = manual.tell("input_audio_buffer.commit")
        assert types(committed)[0] == "input_audio_buffer.committed"
        taken = manual.last(Transcribe).sound
        assert len(taken) == MAX_BUFFER
        assert taken.endswith(b"\0\0" + 300 * MS), "the newest sound is what is kept"

    def test_its_times_go_on_where_the_oldest_was_dropped(self, manual: Dialogue) -> None:
        for _ in range(5):
            manual.say(bytes(MAX_BUFFER // 4))
        detection = {"input": {"turn_detection": {"type": "server_vad"}}}
        manual.tell("session.update", session={"type": "realtime", "audio": detection})
        assert manual.last(Listen).start_ms == 5 * (MAX_BUFFER // 4) // 48


class TestTranscripts:
    def test_they_come_where_they_are_asked_for(self, manual: Dialogue) -> None:
        manual.tell("session.update", session=WITH_TRANSCRIPTS)
        manual.append(1500)
        manual.tell("input_audio_buffer.commit")
        name = manual.last(Transcribe).item_id
        delta, completed = manual.take(manual.engine.transcribed(name, "what time is it"))
        kind = "conversation.item.input_audio_transcription"
        assert (delta["type"], completed["type"]) == (f"{kind}.delta", f"{kind}.completed")
        assert completed["usage"] == {"type": "duration", "seconds": 1.5}
        (retrieved,) = manual.tell("conversation.item.retrieve", item_id=name)
        (content,) = retrieved["item"]["content"]
        assert content["transcript"] == "what time is it"
        assert base64.b64decode(content["audio"]) == 1500 * MS
        assert manual.take(manual.engine.transcribed(name, "again")) == []

    def test_else_they_are_the_servers_own(self, manual: Dialogue) -> None:
        manual.append(1500)
        manual.tell("input_audio_buffer.commit")
        name = manual.last(Transcribe).item_id
        assert manual.take(manual.engine.transcribed(name, "what time is it")) == []
        item = manual.engine.conversation.get(name)
        assert item is not None
        assert item.content[0].heard == "what time is it"
        assert item.as_event()["content"] == [{"type": "input_audio", "transcript": None}]

    def test_silence_has_no_delta_and_a_failure_says_so(self, manual: Dialogue) -> None:
        manual.tell("session.update", session=WITH_TRANSCRIPTS)
        names = []
        for _ in range(2):
            manual.append(200)
            manual.tell("input_audio_buffer.commit")
            names.append(manual.last(Transcribe).item_id)
        assert len(manual.take(manual.engine.transcribed(names[0], ""))) == 1
        (failed,) = manual.take(manual.engine.transcription_failed(names[1], "it broke"))
        assert failed["error"]["message"] == "it broke"

    def test_an_item_that_is_gone_has_none(self, manual: Dialogue) -> None:
        manual.tell("session.update", session=WITH_TRANSCRIPTS)
        manual.append(200)
        manual.tell("input_audio_buffer.commit")
        name = manual.last(Transcribe).item_id
        manual.tell("conversation.item.delete", item_id=name)
        assert manual.take(manual.engine.transcribed(name, "hello")) == []

    def test_items_with_sound_of_the_client_are_transcribed(self, talk: Dialogue) -> None:
        audio = base64.b64encode(200 * MS).decode()
        talk.write("", content=[{"type": "input_audio", "audio": audio}])
        assert talk.last(Transcribe).sound == 200 * MS

    def test_a_transcription_session_answers_nothing_else(self) -> None:
        talk = Dialogue("transcription")
        assert talk.begun[0]["session"]["object"] == "realtime.transcription_session"
        talk.append(500)
        talk.take(talk.engine.speech_started(0))
        assert types(talk.take(talk.engine.speech_stopped(500)))[-1] == "conversation.item.done"
        assert talk.error(talk.tell("response.create")) == ("invalid_value", "type")
