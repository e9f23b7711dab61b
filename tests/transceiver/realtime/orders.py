"""What holds for the order of a server's events, whatever the client does."""

from collections import defaultdict
from typing import Any

PARTS = ("response.output_text", "response.output_audio", "response.output_audio_transcript")


def check(events: list[dict[str, Any]]) -> None:
    """See that a session's events are in an order that clients understand.

    Raises:
        AssertionError: They are not.
    """
    assert events[0]["type"] == "session.created"
    by_response: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"].startswith("response."):
            name = event.get("response_id") or event["response"]["id"]
            by_response[name].append(event)
    for those in by_response.values():
        _check_response(those)
    _check_items(events)
    _check_turns(events)


def _check_response(events: list[dict[str, Any]]) -> None:
    kinds = [each["type"] for each in events]
    assert kinds[0] == "response.created"
    assert kinds.count("response.created") == 1
    assert kinds.count("response.done") <= 1
    assert "response.done" not in kinds[:-1], "nothing follows its end"
    by_item: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if "output_index" in event:
            by_item[event["output_index"]].append(event)
    assert list(by_item) == list(range(len(by_item)))
    over = kinds[-1] == "response.done"
    for those in by_item.values():
        _check_output([each["type"] for each in those], over=over)
    if over:
        output = events[-1]["response"]["output"]
        done = [each["item"] for each in events if each["type"] == "response.output_item.done"]
        assert [each["id"] for each in output] == [each["id"] for each in done]


def _check_output(kinds: list[str], *, over: bool) -> None:
    assert kinds[0] == "response.output_item.added"
    if kinds[-1] != "response.output_item.done":
        assert not over
        return
    if "response.function_call_arguments.done" in kinds:
        assert kinds[1:-1] == [
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
        ]
        return
    assert kinds[1] == "response.content_part.added"
    assert kinds[-2] == "response.content_part.done"
    for kind in PARTS:
        assert kinds.count(f"{kind}.done") == (f"{kind}.done" in kinds)
        if f"{kind}.delta" in kinds:
            assert f"{kind}.delta" not in kinds[kinds.index(f"{kind}.done") :]


def _check_items(events: list[dict[str, Any]]) -> None:
    added: set[str] = set()
    done: set[str] = set()
    for event in events:
        if event["type"] == "conversation.item.added":
            assert event["item"]["id"] not in added or event["item"]["id"] in done
            added.add(event["item"]["id"])
        elif event["type"] == "conversation.item.done":
            assert event["item"]["id"] in added
            assert event["item"].get("status") != "in_progress"
            done.add(event["item"]["id"])


def _check_turns(events: list[dict[str, Any]]) -> None:
    started, detection = None, _detection(events[0])
    for event in events:
        match event["type"]:
            case "input_audio_buffer.speech_started":
                assert started is None
                started = event["item_id"]
            case "input_audio_buffer.speech_stopped":
                assert event["item_id"] == started
            case "input_audio_buffer.committed":
                assert started in (None, event["item_id"])
                started = None
            case "input_audio_buffer.cleared":
                started = None
            case "session.updated" if _detection(event) != detection:
                started, detection = None, _detection(event)  # turns are looked for anew


def _detection(event: dict[str, Any]) -> Any:
    return event["session"]["audio"]["input"]["turn_detection"]
