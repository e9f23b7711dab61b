"""What the engine answers to what cannot be done."""

import json
from typing import Any

import pytest

from tests.transceiver.realtime.dialogue import Dialogue
from transceiver.realtime.engine import MAX_COMMAS


class TestErrors:
    @pytest.mark.parametrize(
        ("message", "code", "param"),
        [
            ("hello", "invalid_json", None),
            pytest.param("[" * 100_000, "invalid_json", None, id="depth"),
            ('{"type": "session.update", "session": {"type": NaN}}', "invalid_json", None),
            ("[]", "invalid_event", None),
            pytest.param(
                f'{{"type": "x", "a": [{"0," * (MAX_COMMAS + 1)}0]}}',
                "invalid_event",
                None,
                id="values",
            ),
            (b"\0\1", "invalid_event", None),
            ("{}", "missing_required_parameter", "type"),
            ('{"type": 5}', "invalid_value", "type"),
            ('{"type": "response.stop"}', "invalid_value", "type"),
            (
                json.dumps({"type": "x", "event_id": "e" * 513}),
                "string_above_max_length",
                "event_id",
            ),
        ],
    )
    def test_of_events(
        self, talk: Dialogue, message: str | bytes, code: str, param: str | None
    ) -> None:
        assert talk.error(talk.take(talk.engine.receive(message))) == (code, param)

    @pytest.mark.parametrize(
        ("event", "code", "param"),
        [
            ({"type": "session.update"}, "missing_required_parameter", "session"),
            (
                {"type": "session.update", "session": {"instructions": "x"}},
                "missing_required_parameter",
                "session.type",
            ),
            ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
            ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
            ({"type": "input_audio_buffer.append", "audio": "AA=="}, "invalid_value", "audio"),
            ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
            ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
            (
                {"type": "conversation.item.retrieve", "item_id": "x"},
                "item_retrieve_invalid_item_id",
                "item_id",
            ),
            (
                {"type": "conversation.item.delete", "item_id": "x"},
                "item_delete_invalid_item_id",
                "item_id",
            ),
            (
                {"type": "conversation.item.delete"},
                "missing_required_parameter",
                "item_id",
            ),
            (
                {
                    "type": "conversation.item.truncate",
                    "item_id": "x",
                    "content_index": 0,
                    "audio_end_ms": 0,
                },
                "item_truncate_invalid_item_id",
                "item_id",
            ),
            (
                {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0},
                "missing_required_parameter",
                "audio_end_ms",
            ),
            ({"type": "response.cancel"}, "response_cancel_not_active", None),
            (
                {"type": "response.cancel", "response_id": "resp_x"},
                "response_cancel_not_active",
                None,
            ),
            (
                {"type": "response.create", "response": {"conversation": "other"}},
                "invalid_value",
                "response.conversation",
            ),
        ],
    )
    def test_of_what_is_asked(
        self, talk: Dialogue, event: dict[str, Any], code: str, param: str | None
    ) -> None:
        fields = {name: value for name, value in event.items() if name != "type"}
        assert talk.error(talk.tell(event["type"], **fields)) == (code, param)

    def test_they_name_the_clients_event_if_it_has_a_name(self, talk: Dialogue) -> None:
        (event,) = talk.tell("response.cancel", event_id="mine")
        assert event["error"]["event_id"] == "mine"
        assert event["error"]["message"].startswith("Cancellation failed"), "LiveKit looks for it"
        (event,) = talk.tell("response.cancel")
        assert "event_id" not in event["error"]

    def test_nothing_plays_here_and_that_is_no_error(self, talk: Dialogue) -> None:
        assert talk.tell("output_audio_buffer.clear") == []

    def test_a_commit_of_99_ms(self, manual: Dialogue) -> None:
        manual.append(99)
        assert manual.error(manual.tell("input_audio_buffer.commit"))[0] == (
            "input_audio_buffer_commit_empty"
        )
        manual.append(1)
        assert len(manual.tell("input_audio_buffer.commit")) == 3
