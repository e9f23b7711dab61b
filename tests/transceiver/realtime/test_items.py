"""Items as clients write them."""

import base64
import itertools
from typing import Any

import pytest

from transceiver.realtime.errors import EventError
from transceiver.realtime.items import MAX_SHOWN, Item, Part, read_item
from transceiver.realtime.sound import PCM, decoder

INVALID, MISSING = "invalid_value", "missing_required_parameter"
SOUND = base64.b64encode(b"\1\0" * 100).decode()


def read(item: object) -> Item:
    numbers = itertools.count()
    return read_item(item, "item", lambda prefix: f"{prefix}_{next(numbers)}", decoder(PCM))


def message(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content)}


@pytest.mark.parametrize(
    "item",
    [
        message("user", {"type": "input_text", "text": "hello"}),
        message("system", {"type": "input_text", "text": "Be brief."}),
        message("assistant", {"type": "output_text", "text": "hello"}),
        message("assistant", {"type": "output_audio", "transcript": "hello"}),
        message("user", {"type": "input_audio", "transcript": "hello"}),
        message("user", {"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "5"},
    ],
)
def test_an_item_is_shown_as_it_was_written(item: dict[str, Any]) -> None:
    shown = read(item).as_event()
    assert shown == item | {"id": "item_0", "object": "realtime.item", "status": "completed"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True},
        {"type": "mcp_approval_request", "name": "f", "arguments": "{}", "server_label": "s"},
        {"type": "mcp_call", "name": "f", "arguments": "{}", "server_label": "s"},
        {"type": "mcp_list_tools", "server_label": "s", "tools": []},
    ],
)
def test_items_of_mcp_are_kept(item: dict[str, Any]) -> None:
    assert read(item).as_event() == item | {"id": "item_0"}


def test_sound_is_shown_on_request_if_it_fits_in_a_message() -> None:
    item = read(message("user", {"type": "input_audio", "audio": SOUND}))
    assert item.as_event()["content"] == [{"type": "input_audio", "transcript": None}]
    assert item.as_event(whole=True)["content"][0]["audio"] == SOUND
    assert item.unheard == item.content
    item.content[0].sound = bytes(MAX_SHOWN + 2)
    assert "audio" not in item.as_event(whole=True)["content"][0]


def test_an_assistants_sound_has_a_length() -> None:
    item = read(message("assistant", {"type": "output_audio", "audio": SOUND, "transcript": "x"}))
    assert item.content == [Part("output_audio", "x", sounded=200)]


def test_ids_may_be_the_clients() -> None:
    assert read(message("user") | {"id": "mine"}).id == "mine"
    call = read({"type": "function_call", "name": "f", "arguments": "{}"})
    assert call.fields["call_id"] == "call_1"


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (None, MISSING, "item"),
        ({}, MISSING, "item.type"),
        ({"type": "thought"}, INVALID, "item.type"),
        ({"type": "message"}, MISSING, "item.role"),
        ({"type": "message", "role": "robot"}, INVALID, "item.role"),
        ({"type": "message", "role": "user"}, MISSING, "item.content"),
        (message("user") | {"id": "x" * 65}, "string_above_max_length", "item.id"),
        (message("user") | {"id": ""}, INVALID, "item.id"),
        (message("user", {"text": "x"}), MISSING, "item.content[0].type"),
        (message("user", {"type": "input_text"}), MISSING, "item.content[0].text"),
        (message("user", {"type": "output_text", "text": "x"}), INVALID, "item.content[0].type"),
        (
            message("system", {"type": "input_audio", "audio": SOUND}),
            INVALID,
            "item.content[0].type",
        ),
        (message("user", {"type": "input_audio"}), MISSING, "item.content[0].audio"),
        (
            message("user", {"type": "input_audio", "audio": "AA=="}),
            INVALID,
            "item.content[0].audio",
        ),
        (message("user", {"type": "input_image"}), MISSING, "item.content[0].image_url"),
        ({"type": "function_call", "name": "f", "arguments": {}}, INVALID, "item.arguments"),
        ({"type": "function_call_output", "output": "5"}, MISSING, "item.call_id"),
    ],
)
def test_what_is_wrong(item: object, code: str, param: str) -> None:
    with pytest.raises(EventError) as caught:
        read(item)
    assert (caught.value.code, caught.value.param) == (code, param)
