"""When a request becomes a call of one of the client's tools, and what an output sounds like.

The rule, without a language model:

1. A tool is meant **by its name** when all words of the name are in the request, in any order.
   `get_weather` and `getWeather` are "get weather"; words such as "get" do not count (`_FILLERS`),
   and a plural is the same word. Of several, the one with most words. This goes before what the
   agent itself knows.
2. A tool is meant **by its description** when two different words of the description that carry a
   meaning are in the request, and the agent knows no answer of its own.
3. `tool_choice`: `none` switches tools off; a named function is called, and with `required` the one
   that comes nearest, whatever the request is.

Arguments are filled by `transceiver.agent.skills.arguments`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transceiver.agent.skills.arguments import arguments, missing
from transceiver.agent.skills.items import Turn
from transceiver.agent.skills.reply import FunctionCall, Reply
from transceiver.agent.skills.words import MAX_CHARACTERS, words

MAX_TOOLS = 128  # that are looked at, as many as OpenAI takes
_FILLERS_WORDS = (
    "get fetch do run call make query retrieve current my the a an of for by to in from "
    "with and tool function api data info information value handle execute perform"
)
_FILLERS = frozenset(_FILLERS_WORDS.split())
_COMMON_WORDS = (
    "is are be it its this that when what which who how or on at as if can will given "
    "return returns user users specified use used name string number i you me please tell "
    "say want would like your some any not no up out about into"
)
_COMMON = _FILLERS | frozenset(_COMMON_WORDS.split())
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASKED = re.compile(r"Please tell me the (.{1,80})\.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client.

    Attributes:
        name: As the client calls it.
        spoken: The words of its name, without those that do not count.
        about: The words of its description that carry a meaning.
        parameters: The JSON schema of its arguments.
    """

    name: str
    spoken: tuple[str, ...]
    about: frozenset[str]
    parameters: Mapping[str, Any]

    def named_by(self, line: Sequence[str]) -> bool:
        """Whether the first rule holds."""
        said = {_stem(word) for word in line}
        return bool(self.spoken) and all(_stem(word) in said for word in self.spoken)

    def nearness(self, line: Sequence[str]) -> int:
        """How many words the request shares; those of the name count twice."""
        said = {_stem(word) for word in line}
        return 2 * sum(_stem(word) in said for word in self.spoken) + len(self.about & said)

    def described_by(self, line: Sequence[str]) -> bool:
        """Whether the second rule holds."""
        return len(self.about & {_stem(word) for word in line}) >= 2


def functions(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The tools that are functions; others, such as MCP servers, are not for this agent."""
    found = []
    for each in tools[:MAX_TOOLS]:
        name = each.get("name")
        if each.get("type") != "function" or not isinstance(name, str) or not name:
            continue
        parts = [part.lower() for part in _PARTS.findall(name[:200])]
        parameters = each.get("parameters")
        found.append(
            Tool(
                name,
                tuple(part for part in parts if part not in _FILLERS) or tuple(parts),
                frozenset(
                    _stem(word)
                    for word in words(str(each.get("description") or ""))
                    if word not in _COMMON and len(word) > 2
                ),
                parameters if isinstance(parameters, Mapping) else {},
            )
        )
    return found


def forced(
    tools: Sequence[Tool], choice: str | Mapping[str, Any], request: str | None
) -> Reply | None:
    """The call that `tool_choice` asks for; None where it leaves the choice."""
    if isinstance(choice, Mapping):
        chosen = [tool for tool in tools if tool.name == choice.get("name")]
    elif choice == "required":
        line = words(request or "")
        chosen = sorted(tools, key=lambda tool: -tool.nearness(line))
    else:
        return None
    return _call(chosen[0], request or "", {}) if chosen else None


def by_name(tools: Sequence[Tool], request: str) -> Reply | None:
    """The call of the tool that is meant by its name, or a question for what is missing."""
    line = words(request)
    meant = [tool for tool in tools if tool.named_by(line)]
    if not meant:
        return None
    return _call_or_ask(max(meant, key=lambda tool: tool.nearness(line)), request, {})


def by_description(tools: Sequence[Tool], request: str) -> Reply | None:
    """The same for the tool that is meant by its description."""
    line = words(request)
    meant = [tool for tool in tools if tool.described_by(line)]
    if not meant:
        return None
    return _call_or_ask(max(meant, key=lambda tool: tool.nearness(line)), request, {})


def resumed(tools: Sequence[Tool], turn: Turn) -> Reply | None:
    """The call that the user's last words complete, where an argument was asked for."""
    answers: dict[str, str] = {}
    reply = turn.request or ""
    for said, request in zip(turn.said, turn.before, strict=False):
        asked = _ASKED.fullmatch(said)
        if asked is None:
            break
        answers[asked[1]] = reply
        reply = request
    if not answers:
        return None
    line = words(reply)
    meant = [tool for tool in tools if tool.named_by(line)]
    meant = meant or [tool for tool in tools if tool.described_by(line)]
    if not meant:
        return None
    tool = max(meant, key=lambda tool: tool.nearness(line))
    found = _call_or_ask(tool, reply, answers)
    # An answer of no use: to ask for the same again would make a circle.
    return None if found.text and (_ASKED.fullmatch(found.text) or [""])[1] in answers else found


def _call_or_ask(tool: Tool, request: str, answers: Mapping[str, str]) -> Reply:
    wanted = missing(tool.parameters, request, tool.spoken, answers)
    if wanted is not None:
        return Reply(f"Please tell me the {wanted}.")
    return _call(tool, request, answers)


def _call(tool: Tool, request: str, answers: Mapping[str, str]) -> Reply:
    filled = arguments(tool.parameters, request, tool.spoken, answers)
    return Reply(calls=(FunctionCall(tool.name, json.dumps(filled, ensure_ascii=False)),))


def read_back(outputs: Sequence[str]) -> str:
    """Outputs of functions as sentences: objects by their keys, lists with "and"."""
    return " ".join(_sentence(output) for output in outputs[:8])


def _sentence(output: str) -> str:
    output = output.strip()
    try:
        value = json.loads(output) if len(output) <= 1 << 16 else output
    except (ValueError, RecursionError):
        value = output
    if isinstance(value, Mapping) and value.get("error"):
        text = f"That did not work: {_said(value['error'])}"
    else:
        text = _said(value)
    if not text:
        return "Done."
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _said(value: object, depth: int = 0) -> str:  # noqa: PLR0911  # one for each kind of value
    match value:
        case None | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case int():
            return str(value) if abs(value) < 10**15 else "a very large number"
        case str():
            return _short(value)
        case _ if depth > 2:
            return ""
        case Mapping():
            parts = [
                f"{_spaced(str(key))} is {said}"
                for key, each in list(value.items())[:6]
                if (said := _said(each, depth + 1))
            ]
            return _joined(parts)
        case list():
            return _joined([said for each in value[:6] if (said := _said(each, depth + 1))])
        case _:
            return ""


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _spaced(key: str) -> str:
    return " ".join(part.lower() for part in _PARTS.findall(key[:60]))


def _short(text: str, limit: int = 400) -> str:
    """At most so many characters, cut between words."""
    text = " ".join(text[:MAX_CHARACTERS].split())
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].rstrip(",;:") + ", and so on."


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
