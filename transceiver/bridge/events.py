"""Events of the Realtime API as texts: read whatever a service sends, mended for strict clients.

Names are those of the GA schema and of the beta before it. Nothing raises here, whatever comes.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from relay.jsontext import as_json, length

AUDIO_DELTAS = ("response.output_audio.delta", "response.audio.delta")
AUDIO_DONE = ("response.output_audio.done", "response.audio.done")
APPEND = "input_audio_buffer.append"
CANCEL = "response.cancel"
TRUNCATE = "conversation.item.truncate"
DELETE = "conversation.item.delete"
CREATE = "conversation.item.create"

PCM = {"type": "audio/pcm", "rate": 24000}
_BETA_PCM = "pcm16"
MAX_ID = 512  # characters, as the schema has it
MAX_KIND = 64  # characters of a type that are repeated

NewId = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Event:
    """An event.

    Attributes:
        kind: Its type.
        body: All of it.
        text: As it came.
    """

    kind: str
    body: dict[str, Any]
    text: str

    def word(self, name: str) -> str:
        """A field that is a text; an empty one where it is none."""
        return word(self.body, name)

    def part(self, name: str) -> dict[str, Any]:
        """A field that is an object; an empty one where it is none."""
        return part(self.body, name)


class Sound(NamedTuple):
    """Sound of a response.

    Attributes:
        response: The id of its response; empty where the service does not say.
        item: The id of its item; likewise.
        content: Index of the content part in the item.
        pcm: 24 kHz, mono, 16 bits.
    """

    response: str
    item: str
    content: int
    pcm: bytes


class Fault(NamedTuple):
    """What an error event says; empty where it does not."""

    code: str
    message: str
    event_id: str
    param: str = ""


def word(body: dict[str, Any], name: str) -> str:
    """A field of an object that is a text; an empty one where it is none."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A field of an object that is an object; an empty one where it is none."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def read(text: str | bytes) -> Event | None:
    """Read an event; None for what is none.

    Some services send errors as ``{"error": "..."}`` without a type: they are errors here.
    """
    if isinstance(text, bytes):
        return None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    kind = word(body, "type") or ("error" if "error" in body else "")
    return Event(kind, body, text) if kind else None


def write(kind: str, **content: Any) -> str:
    """An event as text."""
    return as_json({"type": kind, **content})


def append(pcm: bytes) -> str:
    """The event that sends sound, which has no id: it is most of what is sent."""
    return f'{{"type":"{APPEND}","audio":"{base64.b64encode(pcm).decode()}"}}'


def error(event_id: str, message: str, *, code: str, kind: str, cause: str = "") -> str:
    """An error event for the client.

    Args:
        event_id: Its own.
        message: What is wrong, for the developer.
        code: One word for programs.
        kind: ``invalid_request_error`` or ``server_error``.
        cause: The id of the client's event that caused it, where it gave one.
    """
    caused = {"event_id": cause} if cause else {}
    said = {"type": kind, "code": code, "message": message, **caused}
    return write("error", event_id=event_id, error=said)


def sound_of(event: Event) -> Sound | None:
    """The sound in an event of `AUDIO_DELTAS`; None where it is none."""
    try:
        pcm = base64.b64decode(event.word("delta"))
    except (binascii.Error, ValueError):
        return None
    return placed(event.body, pcm)


def placed(body: dict[str, Any], pcm: bytes) -> Sound:
    """Sound with its place, which an event says."""
    index = body.get("content_index")
    return Sound(
        word(body, "response_id")[:MAX_ID],
        word(body, "item_id")[:MAX_ID],
        index if isinstance(index, int) and 0 <= index < 1 << 31 else 0,
        pcm,
    )


def fault_of(event: Event) -> Fault:
    """What an error event says, as an object or as a text."""
    value = event.body.get("error")
    if isinstance(value, dict):
        return Fault(*(word(value, name) for name in Fault._fields))
    message = value if isinstance(value, str) else event.word("message")
    return Fault(event.word("code"), message, "")


def mended(event: Event, new_id: NewId) -> str:
    """An event of a service as strict clients can read it: as it came, where it has all.

    Clients drop events without an id, crash at a `session.created` without a session, and look for
    the fields of an error.
    """
    missing: dict[str, Any] = {}
    if not event.word("event_id"):
        missing["event_id"] = new_id()
    if not event.word("type"):
        missing["type"] = event.kind
    if event.kind == "error" and not event.part("error"):
        fault = fault_of(event)
        missing["error"] = {
            "type": "server_error",
            "message": fault.message or "the back end reports an error and does not say which",
            **({"code": fault.code} if fault.code else {}),
        }
    if event.kind in ("session.created", "session.updated") and not event.part("session"):
        missing["session"] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": event.word("id") or missing.get("event_id") or event.word("event_id"),
        }
    return as_json(event.body | missing) if missing else event.text


def interrupts(session: dict[str, Any]) -> bool | None:
    """Whether a service says that it ends its response when the client speaks; None: it does not.

    Args:
        session: That of `session.created` or `session.updated`.
    """
    detection = part(part(part(session, "audio"), "input"), "turn_detection")
    detection = detection or part(session, "turn_detection")
    value = detection.get("interrupt_response")
    return value if isinstance(value, bool) else None


def with_pcm(body: dict[str, Any]) -> dict[str, Any] | None:
    """A session or response whose sound is PCM of 24 kHz, if it asks for another one; else None.

    The client's sound comes by RTP, whose codecs its SDP has chosen; the format of the service's is
    between it and us.
    """
    changed: dict[str, Any] = {}
    for name in ("input_audio_format", "output_audio_format"):
        if name in body and body[name] != _BETA_PCM:
            changed[name] = _BETA_PCM
    audio = part(body, "audio")
    for way in ("input", "output"):
        form = part(audio, way).get("format")
        if form is not None and not _is_pcm(form):
            audio = audio | {way: audio[way] | {"format": PCM}}
            changed["audio"] = audio
    return body | changed if changed else None


def _is_pcm(form: object) -> bool:
    if isinstance(form, dict):
        return form.get("type") == PCM["type"] and form.get("rate", PCM["rate"]) == PCM["rate"]
    return form == _BETA_PCM


def fitted(text: str, longest: int, new_id: NewId) -> str:
    """An event that a client takes: as it is, shortened, or an error that tells of it.

    Shorter is one without the escapes of JSON in ASCII, which many services write, and then one
    without recorded sound.

    Args:
        text: The event.
        longest: Bytes of a message that the client takes; 0 for any number.
        new_id: Makes the id of an error.
    """
    if fits(text, longest):
        return text
    event = read(text)
    if event is None:
        return error(new_id(), _left_out("an event", longest), code=_TOO_LONG, kind=_OURS)
    shorter = as_json(event.body)
    if fits(shorter, longest):
        return shorter
    for content in _contents(event):
        content.pop("audio", None)
    shorter = as_json(event.body)
    if fits(shorter, longest):
        return shorter
    told = _left_out(f"{event.kind[:MAX_KIND]} of {length(text)} bytes", longest)
    return error(new_id(), told, code=_TOO_LONG, kind=_OURS)


_TOO_LONG, _OURS = "event_too_long", "server_error"


def _left_out(what: str, longest: int) -> str:
    return f"{what} is left out: this client takes messages of {longest} bytes (max-message-size)"


def fits(text: str, longest: int) -> bool:
    """Whether a message may have so many bytes; 0 is any number."""
    return not longest or len(text) <= longest // 4 or length(text) <= longest


def _contents(event: Event) -> Iterator[dict[str, Any]]:
    """The content parts of all items in an event."""
    items: list[Any] = [event.part("item")]
    output = event.part("response").get("output")
    items += output if isinstance(output, list) else []
    for item in items:
        contents = item.get("content") if isinstance(item, dict) else None
        for content in contents if isinstance(contents, list) else []:
            if isinstance(content, dict):
                yield content
