"""Items of a conversation: messages, function calls and what they gave."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from transceiver.realtime.errors import EventError
from transceiver.realtime.fields import (
    Check,
    choice,
    flag,
    free,
    list_of,
    missing,
    record,
    tagged,
    text,
)
from transceiver.realtime.sound import BYTES_PER_MS, decoded, encoded

MAX_ID = 64  # characters
MAX_IMAGE = 8 << 20  # characters of a data URI
#: Bytes of sound that an event shows: as base64 it fits in a browser's message of 262,144 bytes.
MAX_SHOWN = 190_000

#: Makes PCM16 of the bytes of a client's sound.
Decode = Callable[[bytes], bytes]

item_id = text(MAX_ID, 1)


@dataclass(slots=True)
class Part:
    """A part of a message's content.

    Attributes:
        kind: Such as ``input_text`` or ``output_audio``.
        text: The text or the transcript; None where nobody has asked for one, or it was cut.
        heard: What was recognised in a client's sound, asked for or not.
        sound: A client's sound, PCM16.
        sounded: How long an assistant's sound is, in bytes of PCM16.
        is_cut: Whether the client has cut it off.
        image: The fields of an image.
    """

    kind: str
    text: str | None = None
    heard: str | None = None
    sound: bytes = b""
    sounded: int = 0
    is_cut: bool = False
    image: dict[str, Any] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether it is sound, of whom ever."""
        return self.kind in ("input_audio", "output_audio")

    def as_content(self, *, whole: bool = False) -> dict[str, Any]:
        """As items show it; `whole` with its sound."""
        shown: dict[str, Any] = {"type": self.kind}
        if self.kind == "input_audio":
            shown["transcript"] = self.text  # clients need it there, if null
        elif self.is_sound:
            shown |= {"transcript": self.text} if self.text is not None else {}
        elif self.kind == "input_image":
            shown |= self.image
        else:
            shown["text"] = self.text or ""
        if whole and 0 < len(self.sound) <= MAX_SHOWN:
            shown["audio"] = encoded(self.sound)
        return shown


@dataclass(slots=True)
class Item:
    """An item.

    Attributes:
        id: Its name.
        kind: Such as ``message`` or ``function_call``.
        role: Who says a message; empty for other kinds.
        status: ``completed``, ``incomplete`` or ``in_progress``.
        content: The parts of a message.
        fields: The fields of other kinds.
        is_silence: Whether it is what a client did not say, for as long as it may be silent.
    """

    id: str
    kind: str = "message"
    role: str = ""
    status: str = "completed"
    content: list[Part] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    is_silence: bool = False

    def as_event(self, *, whole: bool = False) -> dict[str, Any]:
        """As events show it; `whole` with its sound."""
        shown: dict[str, Any] = {"id": self.id, "type": self.kind}
        if not self.kind.startswith("mcp_"):  # those have neither in the schema
            shown |= {"object": "realtime.item", "status": self.status}
        if self.kind == "message":
            content = [each.as_content(whole=whole) for each in self.content]
            return shown | {"role": self.role, "content": content}
        return shown | self.fields

    @property
    def unheard(self) -> list[Part]:
        """The parts with a client's sound in which nobody has recognised anything yet."""
        return [
            each
            for each in self.content
            if each.sound and each.kind == "input_audio" and each.heard is None
        ]

    @property
    def size(self) -> int:
        """How much memory its content takes, about, in bytes."""
        parts = sum(
            len(each.sound) + len(each.text or "") + len(str(each.image.get("image_url", "")))
            for each in self.content
        )
        return parts + sum(len(each) for each in self.fields.values() if isinstance(each, str))


_CONTENT = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
}
_image = record(
    {"image_url": text(MAX_IMAGE, 1), "detail": choice("auto", "low", "high")},
    required=("image_url",),
    defaults={},
)
_message = record({"role": choice(*_CONTENT)}, required=("role",))
_FIELDS: dict[str, Check] = {
    "function_call": record(
        {"call_id": text(256, 1), "name": text(256, 1), "arguments": text()},
        required=("name", "arguments"),
        defaults={},
    ),
    "function_call_output": record(
        {"call_id": text(256, 1), "output": text()}, required=("call_id", "output"), defaults={}
    ),
    "mcp_approval_request": record(
        {"name": text(256), "arguments": text(), "server_label": text(256)},
        required=("name", "arguments", "server_label"),
        defaults={},
    ),
    "mcp_approval_response": record(
        {"approval_request_id": text(256), "approve": flag, "reason": text()},
        required=("approval_request_id", "approve"),
        defaults={},
    ),
    "mcp_call": record(
        {
            "name": text(256),
            "arguments": text(),
            "server_label": text(256),
            "approval_request_id": text(256),
            "output": text(),
            "error": free(),
        },
        required=("name", "arguments", "server_label"),
        defaults={},
    ),
    "mcp_list_tools": record(
        {"server_label": text(256), "tools": list_of(free())},
        required=("server_label", "tools"),
        defaults={},
    ),
}
_kind = tagged({kind: record({"id": item_id}) for kind in ("message", *_FIELDS)})


def read_item(value: object, param: str, new_id: Callable[[str], str], decode: Decode) -> Item:
    """The item of a client's event.

    Args:
        value: The item as the client wrote it.
        param: Where it stands in the event.
        new_id: Makes an id from a prefix, where the client has chosen none.
        decode: The client's sound.

    Raises:
        EventError: It is wrong.
    """
    if value is None:
        raise missing(param)
    known = _kind(value, param)
    kind, name = known["type"], known.get("id") or new_id("item")
    given = value if isinstance(value, dict) else {}
    if kind == "message":
        role = _message(given, param)["role"]
        content = list(_parts(given.get("content"), f"{param}.content", role, decode))
        return Item(name, kind, role, content=content)
    fields = _FIELDS[kind](given, param)
    if kind == "function_call":
        fields.setdefault("call_id", new_id("call"))
    return Item(name, kind, fields=fields)


def _parts(value: object, param: str, role: str, decode: Decode) -> Iterable[Part]:
    if value is None:
        raise missing(param)
    taken = tagged({kind: record({}) for kind in _CONTENT[role]})
    kinds = list_of(taken)(value, param)
    for index, (part, kind) in enumerate(zip(_objects(value), kinds, strict=True)):
        yield _part(part, kind["type"], f"{param}[{index}]", decode)


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _part(part: dict[str, Any], kind: str, param: str, decode: Decode) -> Part:
    if kind == "input_image":
        return Part(kind, image=_image(part, param))
    if kind in ("input_text", "output_text"):
        said = record({"text": text()}, required=("text",))(part, param)
        return Part(kind, said["text"])
    transcript = record({"transcript": text()})(part, param).get("transcript")
    sound = b""
    if part.get("audio") is not None:
        sound = _sound(decoded(part, f"{param}.audio"), f"{param}.audio", decode)
    elif transcript is None:
        raise missing(f"{param}.audio")
    if kind == "output_audio":
        return Part(kind, transcript, sounded=len(sound))
    return Part(kind, transcript, transcript, sound)


def _sound(coded: bytes, param: str, decode: Decode) -> bytes:
    try:
        return decode(coded)
    except ValueError as error:
        raise EventError("invalid_value", f"`{param}`: {error}.", param) from None


def sounded_ms(part: Part) -> int:
    """How long an assistant's sound is, in milliseconds, rounded up."""
    return -(-part.sounded // BYTES_PER_MS)
