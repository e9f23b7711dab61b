"""The session of a client: what it is configured to be, and what updates do to it.

An update changes the fields that are in it. One that is wrong changes nothing. Null is the default
again, and for turn detection, transcription, noise reduction and tracing it is "off".
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transceiver.realtime.errors import EventError
from transceiver.realtime.fields import (
    Check,
    choice,
    either,
    flag,
    free,
    json_size,
    list_of,
    missing,
    number,
    record,
    tagged,
    text,
    whole,
)
from transceiver.realtime.sound import PCM, audio_format

MAX_SESSION = 1 << 17  # bytes of JSON; session.updated must fit in a data channel's message
LIFE = 3600  # seconds
_NAME = text(64, 1)

_SERVER_VAD: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: dict[str, Any] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_RESPONDING: dict[str, Check] = {"create_response": flag, "interrupt_response": flag}
_turn_detection = tagged(
    {
        "server_vad": record(
            _RESPONDING
            | {
                "threshold": number(0, 1),
                "prefix_padding_ms": whole(0, 10_000),
                "silence_duration_ms": whole(0, 10_000),
                "idle_timeout_ms": whole(5000, 30_000),
            },
            defaults=_SERVER_VAD,
        ),
        "semantic_vad": record(
            _RESPONDING | {"eagerness": choice("low", "medium", "high", "auto")},
            defaults=_SEMANTIC_VAD,
        ),
    }
)
_transcription = record(
    {
        "model": text(256),
        "language": text(64),
        "languages": list_of(text(64)),
        "prompt": text(),
        "keywords": list_of(text(256), 1024),
        "delay": choice("minimal", "low", "medium", "high", "xhigh"),
    },
    defaults={},
)
_noise_reduction = record(
    {"type": choice("near_field", "far_field"), "strength": number(0, 1)}, defaults={}
)
_audio_input = record(
    {
        "format": audio_format,
        "turn_detection": _turn_detection,
        "transcription": _transcription,
        "noise_reduction": _noise_reduction,
    }
)
_include = list_of(choice("item.input_audio_transcription.logprobs"))
#: The name of a voice, or an object with its id.
voice_name = either(
    "the name of a voice, or an object with its id",
    text(256, 1),
    record({"id": text(256, 1)}, required=("id",)),
)
_tool = tagged(
    {
        "function": record(
            {"name": _NAME, "description": text(), "parameters": free()},
            required=("name",),
            defaults={},
        ),
        "mcp": free(),
    }
)
_tool_choice = either(
    "'none', 'auto', 'required', or an object that names a tool",
    choice("none", "auto", "required"),
    tagged(
        {
            "function": record({"name": _NAME}, required=("name",)),
            "mcp": record({"server_label": _NAME, "name": _NAME}, required=("server_label",)),
        }
    ),
)
_prompt = record(
    {"id": text(256, 1), "version": text(256), "variables": free()}, required=("id",), defaults={}
)
# What a session and a single response have in common.
ANSWERING: dict[str, Check] = {
    "output_modalities": list_of(choice("audio", "text"), 2),
    "instructions": text(),
    "tools": list_of(_tool),
    "tool_choice": _tool_choice,
    "max_output_tokens": either("a number from 1 to 4096, or 'inf'", whole(1, 4096), choice("inf")),
    "parallel_tool_calls": flag,
    "reasoning": record({"effort": text(64)}, defaults={}),
    "prompt": _prompt,
}
_tracing = either(
    "'auto' or an object",
    choice("auto"),
    record({"workflow_name": text(1024), "group_id": text(1024), "metadata": free()}, defaults={}),
)
_truncation = either(
    "'auto', 'disabled' or an object of the type 'retention_ratio'",
    choice("auto", "disabled"),
    tagged(
        {
            "retention_ratio": record(
                {
                    "retention_ratio": number(0, 1),
                    "token_limits": record({"post_instructions": whole(0, 1 << 30)}),
                },
                required=("retention_ratio",),
                defaults={},
            )
        }
    ),
)
_UPDATES: dict[str, Check] = {
    "realtime": record(
        ANSWERING
        | {
            "audio": record(
                {
                    "input": _audio_input,
                    "output": record(
                        {"format": audio_format, "voice": voice_name, "speed": number(0.25, 1.5)}
                    ),
                }
            ),
            "include": _include,
            "tracing": _tracing,
            "truncation": _truncation,
        }
    ),
    "transcription": record({"audio": record({"input": _audio_input}), "include": _include}),
}
_OBJECTS = {"realtime": "realtime.session", "transcription": "realtime.transcription_session"}
_INPUT: dict[str, Any] = {
    "format": PCM,
    "transcription": None,
    "noise_reduction": None,
    "turn_detection": _SERVER_VAD,
}
# What a null turns off, though it is on by default.
_OFF = {"turn_detection": None}


def _defaults(kind: str, voice: str) -> dict[str, Any]:
    if kind == "transcription":
        return {"audio": {"input": _INPUT}}
    return {
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "audio": {"input": _INPUT, "output": {"format": PCM, "voice": voice, "speed": 1.0}},
    }


@dataclass(frozen=True, slots=True)
class Session:
    """What a session is now. It is replaced by each update, and never changed.

    Attributes:
        id: Its name, ``sess_...``.
        model: The model that answers; no update changes it.
        voice: The voice that it has by default.
        expires_at: When it ends, in seconds since 1970.
        kind: ``realtime`` or ``transcription``.
        config: The fields that updates change, in the shape of the protocol.
    """

    id: str
    model: str
    voice: str
    expires_at: int
    kind: str
    config: Mapping[str, Any]

    @classmethod
    def new(
        cls, session_id: str, model: str, voice: str, expires_at: int, kind: str = "realtime"
    ) -> "Session":
        """A session as it is before any update."""
        return cls(session_id, model, voice, expires_at, kind, _defaults(kind, voice))

    @property
    def input(self) -> Mapping[str, Any]:
        """`audio.input`."""
        found: Mapping[str, Any] = self.config["audio"]["input"]
        return found

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """How turns of the client are found; None where the client says where they end."""
        found: Mapping[str, Any] | None = self.input["turn_detection"]
        return found

    def as_event(self) -> dict[str, Any]:
        """The whole session, as events have it."""
        known: dict[str, Any] = {
            "type": self.kind,
            "object": _OBJECTS[self.kind],
            "id": self.id,
            "expires_at": self.expires_at,
        }
        if self.kind == "realtime":
            known["model"] = self.model
        return known | copy.deepcopy(dict(self.config))

    def updated(self, update: object) -> "Session":
        """The session after an update.

        Raises:
            EventError: The update is wrong.
        """
        if update is None:
            raise missing("session")
        if isinstance(update, dict) and update.get("type") is None:
            raise missing("session.type")
        kind = _kind(update, "session")["type"]
        change = one_modality(_UPDATES[kind](update, "session"))
        defaults = _defaults(kind, self.voice)
        config = _merged(defaults, self.config if kind == self.kind else defaults, change)
        if json_size(config, "session") > MAX_SESSION:
            raise EventError(
                "string_above_max_length",
                f"The session is too long: it may have {MAX_SESSION} bytes as JSON.",
                "session",
            )
        return Session(self.id, self.model, self.voice, self.expires_at, kind, config)


_kind = tagged({"realtime": record({}), "transcription": record({})})


def one_modality(change: dict[str, Any]) -> dict[str, Any]:
    """With what is answered in, as one: who asks for both gets sound, with which text comes."""
    asked = change.get("output_modalities")
    if not asked:
        return change
    return change | {"output_modalities": ["audio"] if "audio" in asked else ["text"]}


def _merged(
    defaults: Mapping[str, Any], current: Mapping[str, Any], change: Mapping[str, Any]
) -> dict[str, Any]:
    """A part of a configuration after a change."""
    merged = dict(current)
    for name, value in change.items():
        if name in ("audio", "input", "output"):
            merged[name] = _merged(
                defaults[name], current[name], defaults[name] if value is None else value
            )
        elif value is not None:
            merged[name] = value
        elif name in defaults:
            merged[name] = _OFF.get(name, defaults[name])
        else:
            merged.pop(name, None)
    return merged
