"""The official packages, as they are, with nothing but another base URL, over both dataplanes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodemodules import NODE, link
from tests.e2e.sdk.conftest import Seen, Site, Speech, lacking
from tests.transceiver.realtime import strict


def scenario(seen: Seen, name: str) -> dict[str, Any]:
    outcome: dict[str, Any] = seen.outcome["scenarios"][name]
    assert "error" not in outcome, (outcome, seen.outcome["errors"])
    return outcome


def over_webrtc(seen: Seen) -> bool:
    return seen.name.endswith("webrtc")


def test_text_turn(seen: Seen) -> None:
    assert scenario(seen, "text")["answer"] == "That is 42."


def test_function_call(seen: Seen) -> None:
    outcome = scenario(seen, "function_call")
    assert outcome["called"] == [{"city": "Paris"}]
    assert outcome["answer"] == "It is sunny, with 18 degrees."


def test_spoken_turn(seen: Seen) -> None:
    outcome = scenario(seen, "spoken")
    assert outcome["heard"]  # and the answer is the one to it, or there were none
    assert outcome["answer"]


def test_barge_in(seen: Seen) -> None:
    outcome = scenario(seen, "barge_in")
    assert outcome["audio_end_ms"] > 0
    assert outcome["cleared"] == over_webrtc(seen)
    assert outcome["next"]
    # Over WebRTC this package leaves its users to output_audio_buffer.cleared.
    assert bool(outcome["interrupted"]) == (seen.name != "agents-webrtc")


def test_nothing_is_complained_of(seen: Seen) -> None:
    assert seen.outcome["errors"] == []
    for event in seen.outcome["events"]:
        if not event["type"].endswith(".delta"):  # of which the sound is left out
            strict.check(event)


def test_what_was_interrupted_is_forgotten(seen: Seen) -> None:
    """Unheard text must not stay; the package asks for the item, and then keeps what it knew."""
    truncated = scenario(seen, "barge_in")["item_id"]
    items = [
        event["item"]
        for event in seen.outcome["events"]
        if event["type"] == "conversation.item.retrieved" and event["item"]["id"] == truncated
    ]
    assert [item["content"] for item in items] == [[{"type": "output_audio"}]] * len(items)
    assert bool(items) == seen.name.startswith("agents")


def test_the_kernel_forwards_where_it_is_to(seen: Seen) -> None:
    if seen.dataplane == "xdp":
        assert seen.kernel_packets > 100
    else:
        assert seen.kernel_packets == 0


def test_transcription_names_no_model(
    sites: Callable[[str], Site], speech: Speech, tmp_path: Path
) -> None:
    """As the package for Node asks for it: by its intent alone."""
    if lacks := lacking("openai-websocket"):
        pytest.skip(lacks)
    site = sites("userspace")
    link(tmp_path, Path(__file__).parent)
    script = str(tmp_path / "transcribe.mjs")
    asked = [*NODE, script, site.served.url, "none", str(speech.pcm)]
    process = site.start(asked, tmp_path / "log")
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert output.splitlines() == ["transcription", "what time is it"]
