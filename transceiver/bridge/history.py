"""What was said in a session, as texts, so that a service that has lost it can be told; pure.

It follows the events of the service, by the names of the GA schema and of the beta before it. Of
the oldest there is no more when it gets long. What the client has not heard is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from transceiver.bridge.events import Event, word

MAX_ITEMS = 128
MAX_SIZE = 1 << 16  # characters of all texts
_BYTES_PER_MS = 48  # of the service's sound

#: What tells that an item is there, also of those that were created by the client.
OF_ITEMS = (
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.done",
)
_OF_OUTPUT = ("response.output_item.added", "response.output_item.done")
_WORDS = {  # the field with them
    "conversation.item.input_audio_transcription.completed": "transcript",
    "response.output_audio_transcript.done": "transcript",
    "response.audio_transcript.done": "transcript",
    "response.output_text.done": "text",
    "response.text.done": "text",
}
_OF_BETA = ("response.audio_transcript.", "response.audio.", "response.text.")
_FIELDS = {
    "message": (),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}
_ROLES = ("user", "assistant", "system")


@dataclass(slots=True)
class _Item:
    kind: str
    role: str
    fields: dict[str, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)  # by content part
    sounded: int = 0  # bytes of sound that came
    is_cut: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, (*self.texts.values(), *self.fields.values())))

    def write(self, index: object, text: str) -> None:
        """What a content part says."""
        if text and not self.is_cut:  # what nobody heard does not come back
            self.texts[index if isinstance(index, int) else 0] = text[:MAX_SIZE]

    def cut(self, end_ms: object) -> None:
        """Leave so much of the words as was heard of their sound."""
        heard = end_ms * _BYTES_PER_MS if isinstance(end_ms, int | float) else 0
        share = min(1.0, max(0.0, heard / self.sounded)) if self.sounded else 0.0
        for index, text in self.texts.items():
            words = text.split()
            self.texts[index] = " ".join(words[: int(len(words) * share)])
        self.is_cut = True


class History:
    """The items of a session, in their order."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._is_beta = False
        self._names_items = False  # whether the service tells of items by themselves

    def __len__(self) -> int:
        return len(self._items)

    def follow(self, event: Event) -> None:
        """An event of the service, which says what is in the session now."""
        kind = event.kind
        self._is_beta = self._is_beta or kind.startswith(_OF_BETA)
        if kind in OF_ITEMS or (kind in _OF_OUTPUT and not self._names_items):
            self._names_items = self._names_items or kind in OF_ITEMS
            self._take(event.part("item"), event.word("previous_item_id"))
            return
        name = event.word("item_id")
        item = self._items.get(name)
        if item is None:
            return
        if kind in _WORDS:
            item.write(event.body.get("content_index"), event.word(_WORDS[kind]))
        elif kind == "response.function_call_arguments.done":
            item.fields["arguments"] = event.word("arguments")[:MAX_SIZE]
        elif kind == "conversation.item.truncated":
            item.cut(event.body.get("audio_end_ms"))
        elif kind == "conversation.item.deleted":
            del self._items[name]
        else:
            return
        self._make_room()

    def sounded(self, item_id: str, size: int) -> None:
        """So many bytes of an item's sound came."""
        if (item := self._items.get(item_id)) is not None:
            item.sounded += size

    def told(self) -> Iterator[dict[str, Any]]:
        """The items as a service is told them, in their order."""
        calls = {
            each.fields["call_id"] for each in self._items.values() if each.kind == "function_call"
        }
        for name, item in self._items.items():
            if item.kind == "message":
                text = " ".join(item.texts[at] for at in sorted(item.texts)).strip()
                if text:
                    content = [{"type": self._kind_of_text(item.role), "text": text}]
                    yield {"id": name, "type": "message", "role": item.role, "content": content}
            elif item.fields["call_id"] in calls:  # services refuse an output without its call
                yield {"id": name, "type": item.kind, **item.fields}

    def _kind_of_text(self, role: str) -> str:
        if role != "assistant":
            return "input_text"
        return "text" if self._is_beta else "output_text"

    def _take(self, said: dict[str, Any], after: str) -> None:
        name, kind, role = word(said, "id"), word(said, "type"), word(said, "role")
        if not name or kind not in _FIELDS or (kind == "message" and role not in _ROLES):
            return
        item = self._items.get(name)
        if item is None:
            item = _Item(kind, role)
            self._insert(name, item, after)
        for each in _FIELDS[kind]:
            item.fields[each] = word(said, each)[:MAX_SIZE] or item.fields.get(each, "")
        contents = said.get("content")
        for index, content in enumerate(contents if isinstance(contents, list) else []):
            if isinstance(content, dict):
                old_name = role == "assistant" and word(content, "type") in ("text", "audio")
                self._is_beta = self._is_beta or old_name
                item.write(index, word(content, "transcript") or word(content, "text"))
        self._make_room()

    def _insert(self, name: str, item: _Item, after: str) -> None:
        names = list(self._items)
        self._items[name] = item
        if after in names[:-1]:
            at = names.index(after) + 1
            self._items = {each: self._items[each] for each in [*names[:at], name, *names[at:]]}

    def _make_room(self) -> None:
        size = sum(each.size for each in self._items.values())
        while self._items and (len(self._items) > MAX_ITEMS or size > MAX_SIZE):
            size -= self._items.pop(next(iter(self._items))).size
