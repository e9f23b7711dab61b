"""What a response has used, in tokens, as the protocol counts.

The offline agent has no tokens of its own. Sound counts as at OpenAI: a token for each 100 ms that
is heard and each 50 ms that is said. Of text, four characters are about one.
"""

from collections.abc import Iterable
from typing import Any

from transceiver.realtime.items import Item, Part
from transceiver.realtime.sound import BYTES_PER_MS

_HEARD = 100 * BYTES_PER_MS  # bytes of sound a token
_SAID = 50 * BYTES_PER_MS
_CHARACTERS = 4  # a token


def text_tokens(said: str) -> int:
    """Of a text."""
    return -(-len(said) // _CHARACTERS)


def said_tokens(parts: Iterable[Part]) -> tuple[int, int]:
    """Of parts: of their texts, and of their sound."""
    texts = sounds = 0
    for part in parts:
        texts += text_tokens(part.text or "")
        sounds += -(-part.sounded // _SAID) + -(-len(part.sound) // _HEARD)
    return texts, sounds


def item_tokens(items: Iterable[Item]) -> tuple[int, int]:
    """Of items: of their texts, and of their sound."""
    texts = sounds = 0
    for item in items:
        text, sound = said_tokens(item.content)
        fields = (each for each in item.fields.values() if isinstance(each, str))
        texts, sounds = texts + text + sum(map(text_tokens, fields)), sounds + sound
    return texts, sounds


def usage(heard: tuple[int, int], said: tuple[int, int]) -> dict[str, Any]:
    """As `response.done` has it, from tokens of text and of sound."""
    return {
        "total_tokens": sum(heard) + sum(said),
        "input_tokens": sum(heard),
        "output_tokens": sum(said),
        "input_token_details": {
            "text_tokens": heard[0],
            "audio_tokens": heard[1],
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": said[0], "audio_tokens": said[1]},
    }
