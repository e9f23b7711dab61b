"""Responses: how many at a time, and what they are asked to be."""

import base64

from tests.transceiver.realtime.dialogue import MS, Dialogue, types
from transceiver.realtime.commands import Generate, Stop


class TestResponses:
    def test_metadata_comes_back(self, talk: Dialogue) -> None:
        metadata = {"client_event_id": "x"}
        (created,) = talk.tell("response.create", response={"metadata": metadata})
        assert created["response"]["metadata"] == metadata, "LiveKit waits for it"

    def test_there_is_one_at_a_time(self, talk: Dialogue) -> None:
        talk.respond()
        assert talk.error(talk.tell("response.create"))[0] == (
            "conversation_already_has_active_response"
        )

    def test_but_some_may_run_beside_the_conversation(self, talk: Dialogue) -> None:
        talk.write("hello", id="a")
        active = talk.respond()
        beside = talk.respond(conversation="none", input=[])
        assert talk.last(Generate).response.history == []
        (created,) = [
            each
            for each in talk.events
            if each["type"] == "response.created" and each["response"]["id"] == beside
        ]
        assert created["response"]["conversation_id"] is None, "absent, it would be inside"
        events = talk.take(talk.engine.say(beside, "Aside."))
        events += talk.take(talk.engine.finish(beside))
        assert not [each for each in types(events) if each.startswith("conversation.")]
        assert talk.engine.active is not None
        assert talk.engine.active.id == active
        assert [each.id for each in talk.engine.conversation] == ["a"]
        for _ in range(8):
            talk.respond(conversation="none")
        code, _ = talk.error(talk.tell("response.create", response={"conversation": "none"}))
        assert code == "too_many_responses"
        assert types(talk.tell("response.cancel", response_id=active))[-1] == "response.done"

    def test_they_may_have_a_context_of_their_own(self, talk: Dialogue) -> None:
        talk.write("hello", id="a")
        message = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "and you?"}],
        }
        talk.respond(input=[{"type": "item_reference", "id": "a"}, message])
        history = talk.last(Generate).response.history
        assert [item.content[0].text for item in history] == ["hello", "and you?"]
        talk.tell("response.cancel")
        wrong = {"input": [{"type": "item_reference", "id": "b"}]}
        assert talk.error(talk.tell("response.create", response=wrong)) == (
            "invalid_value",
            "response.input[0].id",
        )

    def test_they_end_where_they_have_enough_tokens(self, talk: Dialogue) -> None:
        name = talk.respond(output_modalities=["text"], max_output_tokens=2)
        talk.take(talk.engine.say(name, "four"))
        events = talk.take(talk.engine.say(name, "and more"))
        done = events[-1]["response"]
        assert done["status"] == "incomplete"
        assert done["status_details"]["reason"] == "max_output_tokens"
        assert talk.last(Stop).response_id == name

    def test_they_are_what_the_session_is_but_for_their_own(self, talk: Dialogue) -> None:
        session = {"type": "realtime", "instructions": "Be brief.", "tool_choice": "required"}
        talk.tell("session.update", session=session)
        form = {"type": "audio/pcma"}
        output = {"voice": {"id": "own"}, "format": form}
        name = talk.respond(instructions="Be long.", audio={"output": output})
        wish = talk.last(Generate).response.wish
        assert (wish.instructions, wish.tool_choice) == ("Be long.", "required")
        assert (wish.voice, wish.form) == ("own", form), "a name: clients take no object there"
        events = talk.take(talk.engine.say(name, "Hello.", 300 * MS))
        deltas = [each["delta"] for each in events if each["type"].endswith("audio.delta")]
        assert len(base64.b64decode(deltas[0])) in range(2350, 2401), "8 kHz, a byte a sample"
