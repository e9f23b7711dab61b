"""Names of the beta protocol, which clients still send, as those of today.

OpenAI ended the beta in May 2026; its names are understood where they can mean one thing only.
"""

from typing import Any

_FORMATS = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
# Where a field of a flat session stands today.
_MOVED = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
}
_CONTENT = {
    ("assistant", "text"): "output_text",
    ("assistant", "audio"): "output_audio",
    ("user", "text"): "input_text",
    ("user", "audio"): "input_audio",
    ("system", "text"): "input_text",
}


def modern(event: dict[str, Any]) -> dict[str, Any]:
    """An event as it is written today; the event itself where it is."""
    kind = event.get("type")
    if kind == "session.update" and isinstance(event.get("session"), dict):
        return event | {"session": _modern_session(event["session"], "realtime")}
    if kind == "transcription_session.update" and isinstance(event.get("session"), dict):
        session = _modern_session(event["session"] | {"type": "transcription"}, "transcription")
        return event | {"type": "session.update", "session": session}
    if kind == "response.create" and isinstance(event.get("response"), dict):
        response = _moved(event["response"])
        if isinstance(response.get("input"), list):
            response = response | {"input": [modern_item(each) for each in response["input"]]}
        return event | {"response": response}
    if kind == "conversation.item.create":
        return event | {"item": modern_item(event.get("item"))}
    return event


def modern_item(item: Any) -> Any:
    """An item whose content has today's types."""
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    return item | {"content": [_modern_part(each, item.get("role")) for each in item["content"]]}


def _modern_part(part: Any, role: Any) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return part
    if not isinstance(role, str):
        return part
    return part | {"type": _CONTENT.get((role, part["type"]), part["type"])}


def _modern_session(session: dict[str, Any], kind: str) -> dict[str, Any]:
    moved = _moved(session)
    # Beta's sessions had no type: one with a name of the beta is of that time.
    return moved if moved is session or "type" in session else moved | {"type": kind}


def _moved(flat: dict[str, Any]) -> dict[str, Any]:
    old = _MOVED.keys() & flat.keys()
    if not old:
        return flat
    moved = {name: value for name, value in flat.items() if name not in old}
    for name in sorted(old):
        value = flat[name]
        if name.endswith("_format") and isinstance(value, str):
            value = _FORMATS.get(value, value)
        *way, last = _MOVED[name]
        at = moved
        for step in way:
            inner = at.get(step)
            at[step] = at = dict(inner) if isinstance(inner, dict) else {}
        at.setdefault(last, value)
    return moved
