"""Conversations as the Realtime API writes them, for tests."""

from datetime import datetime
from typing import Any

from transceiver.agent.skills import Reply, Situation, Skills

NOW = datetime(2026, 11, 27, 19, 5)  # noqa: DTZ001  # where the user is; a Friday


def user(text: str | None) -> dict[str, Any]:
    content = {"type": "input_audio", "transcript": text}
    return {"type": "message", "role": "user", "content": [content]}


def agent(text: str) -> dict[str, Any]:
    content = {"type": "output_audio", "transcript": text}
    return {"type": "message", "role": "assistant", "content": [content]}


def output(text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": text}


def call(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": "{}"}


def answer(
    *history: dict[str, Any] | str, situation: Situation | None = None, **more: Any
) -> Reply:
    """What is answered; a string is what the user said."""
    items = [user(each) if isinstance(each, str) else each for each in history]
    return Skills().answer(items, situation=situation or Situation(NOW), **more)


def function(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    """A tool; properties are required whose schema says so."""
    required = [each for each, schema in properties.items() if schema.pop("needed", False)]
    parameters = {"type": "object", "properties": properties, "required": required}
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
    }
