"""Tokens."""

from transceiver.realtime.items import Item, Part
from transceiver.realtime.sound import BYTES_PER_MS
from transceiver.realtime.usage import item_tokens, usage


def test_text_and_sound_count_apart() -> None:
    items = [
        Item("a", role="user", content=[Part("input_text", "four"), Part("input_text", "fours")]),
        Item("b", role="user", content=[Part("input_audio", sound=bytes(250 * BYTES_PER_MS))]),
        Item("c", role="assistant", content=[Part("output_audio", sounded=250 * BYTES_PER_MS)]),
        Item("d", "function_call_output", fields={"call_id": "call", "output": "12"}),
    ]
    assert item_tokens(items) == (1 + 2 + 1 + 1, 3 + 5)


def test_the_sum_is_the_sum() -> None:
    used = usage((1, 2), (3, 4))
    assert (used["input_tokens"], used["output_tokens"], used["total_tokens"]) == (3, 7, 10)
    assert used["output_token_details"] == {"text_tokens": 3, "audio_tokens": 4}
