"""What the dialogue reads of a Realtime conversation: its items, as the API writes them.

https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a conversation stands.

    Attributes:
        request: What the user said last, and nobody has answered; None if there is nothing such.
        outputs: Outputs of function calls that nobody has told the user, as they came.
        said: What the agent said before that, the newest first.
        before: What the user said before the request, the newest first.
    """

    request: str | None
    outputs: tuple[str, ...]
    said: tuple[str, ...]
    before: tuple[str, ...]


def turn(history: Sequence[Item]) -> Turn:
    """Where a conversation stands after its last item; items of other kinds are passed over."""
    request: str | None = None
    outputs: list[str] = []
    said: list[str] = []
    before: list[str] = []
    for item in history:
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "function_call_output":
            outputs.append(str(item.get("output", "")))
        elif kind == "message" and role == "user":
            # A pause may cut a sentence in two items: what was not answered is one request.
            request = text_of(item) if request is None else f"{request} {text_of(item)}".strip()
            outputs = []
        elif kind == "message" and role == "assistant":
            said.append(text_of(item))
            if request is not None:
                before.append(request)
            request, outputs = None, []
    return Turn(request, tuple(outputs), tuple(reversed(said)), tuple(reversed(before)))


def text_of(item: Item) -> str:
    """The text of a message, or the transcript of its sound."""
    parts = [
        part.get("text") or part.get("transcript") or ""
        for part in item.get("content") or ()
        if isinstance(part, Mapping)
    ]
    return " ".join(part for part in parts if isinstance(part, str) and part).strip()
