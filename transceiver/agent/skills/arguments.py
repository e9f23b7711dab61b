"""Arguments of a function, from the words of a request, by the JSON schema of its parameters.

Properties are filled in the schema's order, and words that filled one fill no other:

* `enum` and `const`: the value whose words are in the request.
* `integer`, `number`: the next number, in digits or words, if it lies within the schema's bounds.
* `boolean`: false where the request has "off", "no", "not", "without" or "disable", true where it
  has "on", "yes" or "enable", else nothing.
* `string`: what stands in quotation marks; or follows the property's name ("title shopping"), or a
  word such as "in", "for" or "to", up to the next such word; or, for the only string, all words
  that are not the tool's name or said around it.
* `array`: a list with the one value of its items. `object`: as above, for its properties.

A required property that the request does not fill has its `default`, or is asked for.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from transceiver.agent.skills.words import number_at, words

MAX_PROPERTIES = 32
_MAX_DEPTH = 3
_LEADS_WORDS = "in for to at on about of from named called with into near titled saying"
_LEADS = frozenset(_LEADS_WORDS.split())
_AROUND_WORDS = (
    "please what is the a an me can could you tell show give i want would like need to do "
    "know how get set it my in for and now hey hello will be are there let us make add "
    "create start find look up search"
)
_AROUND = frozenset(_AROUND_WORDS.split())
_ARTICLES_WORDS = "the a an my please"
# What leads to a property whose name has such a part, before all others.
_NAMING = frozenset({"named", "called", "titled", "saying"})
_LEADS_OF = {
    "name": _NAMING,
    "title": _NAMING,
    "text": _NAMING,
    "message": _NAMING,
    "day": {"on"},
    "date": {"on"},
    "time": {"at"},
    "location": {"in", "near"},
    "city": {"in"},
}
_ARTICLES = frozenset(_ARTICLES_WORDS.split())
_FALSE_WORDS = "off no not without disable false disabled stop"
_FALSE = frozenset(_FALSE_WORDS.split())
_TRUE_WORDS = "on yes enable true enabled with"
_TRUE = frozenset(_TRUE_WORDS.split())
_QUOTED = re.compile(r"[\"“]([^\"”]{1,500})[\"”]")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ABSENT = object()


def arguments(
    schema: Mapping[str, Any],
    request: str,
    spoken: Sequence[str],
    answers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The arguments; a required one that nothing fills has the emptiest value of its type.

    Args:
        schema: Of the parameters, an object.
        request: What the user said.
        spoken: The words of the tool's name.
        answers: What the user said when asked for a property, by its `title`.
    """
    filled = _fill(schema, _Line(request, spoken), answers or {}, 0)
    for name, each in _properties(schema):
        if name not in filled and name in _required(schema):
            filled[name] = _empty(each)
    return filled


def missing(
    schema: Mapping[str, Any],
    request: str,
    spoken: Sequence[str],
    answers: Mapping[str, str] | None = None,
) -> str | None:
    """What to ask for: the first required property that neither words nor a default fill."""
    filled = _fill(schema, _Line(request, spoken), answers or {}, 0)
    for name, _ in _properties(schema):
        if name in _required(schema) and name not in filled:
            return title(name)
    return None


def title(name: str) -> str:
    """A property's name as words: `sizeInCm` is "size in cm"."""
    return " ".join(part.lower() for part in _PARTS.findall(name[:80])) or "value"


class _Line:
    """A request's words, and which of them are used up.

    Args:
        request: As it was said.
        spoken: The words of the tool's name.
    """

    def __init__(self, request: str, spoken: Sequence[str]) -> None:
        self.request = request
        self.words = words(request)
        self.used = [word in spoken or f"{word}s" in spoken for word in self.words]

    def take(self, start: int, end: int) -> None:
        """Use words up."""
        self.used[start:end] = [True] * (end - start)

    def find(self, phrase: Sequence[str]) -> int | None:
        """Where unused words are that phrase."""
        size = len(phrase)
        for at in range(len(self.words) - size + 1):
            if self.words[at : at + size] == list(phrase) and not any(self.used[at : at + size]):
                return at
        return None

    def written(self, start: int, end: int) -> str:
        """Words as the request wrote them, with capital letters."""
        phrase = self.words[start:end]
        pattern = r"[\s,-]+".join(re.escape(word) for word in phrase)
        found = re.search(rf"(?<!\w){pattern}(?!\w)", self.request, re.IGNORECASE)
        return found[0] if found else " ".join(phrase)


def _properties(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return []
    return [
        (str(name), each if isinstance(each, Mapping) else {})
        for name, each in list(properties.items())[:MAX_PROPERTIES]
    ]


def _required(schema: Mapping[str, Any]) -> Sequence[Any]:
    required = schema.get("required")
    return required if isinstance(required, list) else ()


def _fill(
    schema: Mapping[str, Any], line: _Line, answers: Mapping[str, str], depth: int
) -> dict[str, Any]:
    properties, required = _properties(schema), _required(schema)
    texts = [name for name, each in properties if _is_text(each)]
    filled: dict[str, Any] = {}
    for name, each in properties:
        if depth == 0 and (answer := answers.get(title(name))) is not None:
            filled[name] = _answered(name, each, answer)
        elif name not in texts:
            filled[name] = _value(name, each, line, depth)
    # What belongs to a property by a word of its own goes before what may belong to any.
    left = [name for name in texts if name not in filled]
    filled |= {name: _own_text(name, line) for name in left}
    for name in left:
        if filled[name] is _ABSENT and (name in required or len(texts) == 1):
            filled[name] = _any_text(line, alone=len(texts) == 1)
    for name, each in properties:
        if filled[name] is _ABSENT and name in required:
            filled[name] = each.get("default", _ABSENT)
    return {name: filled[name] for name, _ in properties if filled[name] is not _ABSENT}


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Whether any text will do."""
    return _kind(schema) == "string" and not schema.keys() & {"enum", "const"}


def _answered(name: str, schema: Mapping[str, Any], answer: str) -> Any:
    """The value of a property that was asked for."""
    value = _value(name, schema, _Line(answer, ()), 0)
    if value is _ABSENT and _is_text(schema):
        return answer.strip(" .!?") or _ABSENT
    return value


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema's type; of several the first that is not null."""
    kind = schema.get("type", "string")
    kinds = kind if isinstance(kind, list) else [kind]
    return next((each for each in kinds if isinstance(each, str) and each != "null"), "string")


def _value(  # noqa: PLR0911  # one for each kind of schema
    name: str, schema: Mapping[str, Any], line: _Line, depth: int
) -> Any:
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list):
        return _choice(schema["enum"], line)
    match _kind(schema):
        case "integer":
            return _number(schema, line, whole=True)
        case "number":
            return _number(schema, line, whole=False)
        case "boolean":
            return _truth(line)
        case "array" if depth < _MAX_DEPTH:
            items = schema.get("items")
            value = _value(name, items if isinstance(items, Mapping) else {}, line, depth + 1)
            return value if value is _ABSENT else [value]
        case "object" if depth < _MAX_DEPTH:
            return _fill(schema, line, {}, depth + 1) or _ABSENT
        case "string":
            found = _own_text(name, line)
            return _any_text(line, alone=True) if found is _ABSENT else found
        case _:
            return _ABSENT


def _choice(values: Sequence[Any], line: _Line) -> Any:
    """The value whose words are in the request; of several the longest."""
    spelled = [(value, words(" ".join(_PARTS.findall(str(value))))) for value in values[:64]]
    for value, phrase in sorted(spelled, key=lambda each: -len(each[1])):
        at = line.find(phrase) if phrase else None
        if at is not None:
            line.take(at, at + len(phrase))
            return value
    return _ABSENT


def _number(schema: Mapping[str, Any], line: _Line, *, whole: bool) -> Any:
    at = 0
    while at < len(line.words):
        found = number_at(line.words, at) if not line.used[at] else None
        if found is None:
            at += 1
            continue
        value, end = found
        fits = all(
            not isinstance(bound, int | float) or sign * value >= sign * bound
            for sign, bound in ((1, schema.get("minimum")), (-1, schema.get("maximum")))
        )
        if fits and (not whole or value.denominator == 1):
            line.take(at, end)
            return int(value) if value.denominator == 1 else float(value)
        at = end
    return _ABSENT


def _truth(line: _Line) -> Any:
    for truth, signs in ((False, _FALSE), (True, _TRUE)):
        if signs & set(line.words):
            return truth
    return _ABSENT


def _own_text(name: str, line: _Line) -> Any:
    """The text that a word before it gives to this property."""
    named = [part.lower() for part in _PARTS.findall(name)]
    at = line.find(named) if named else None
    if at is not None:
        after = at + len(named)
        after += line.words[after : after + 1] in (["of"], ["is"], ["to"])
        if phrase := _phrase(line, after):
            return phrase
    return _led({lead for part in named for lead in _LEADS_OF.get(part, ())}, line)


def _any_text(line: _Line, *, alone: bool) -> Any:
    """The text that may belong to any property; `alone` if there is only one."""
    if quoted := _QUOTED.search(line.request):
        line.request = line.request.replace(quoted[0], "")
        return quoted[1]
    found = _led(_LEADS - _NAMING, line)
    if found is not _ABSENT or not alone:
        return found
    for at, word in enumerate(line.words):
        if not line.used[at] and word not in _AROUND:
            return _phrase(line, at) or _ABSENT
    return _ABSENT


def _led(leads: Collection[str], line: _Line) -> Any:
    """The text after the first of these words that has any."""
    for at, word in enumerate(line.words):
        if word in leads and not line.used[at] and (phrase := _phrase(line, at + 1)):
            line.take(at, at + 1)
            return phrase
    return _ABSENT


def _phrase(line: _Line, start: int) -> str:
    """The unused words from there to the next that leads to something else, without articles."""
    while start < len(line.words) and line.words[start] in _ARTICLES:
        start += 1
    end = start
    while end < len(line.words) and not line.used[end] and line.words[end] not in _LEADS:
        end += 1
    while end > start and line.words[end - 1] in {"please", "now", "thanks"}:
        end -= 1
    if end == start:
        return ""
    text = line.written(start, end)
    line.take(start, end)
    return text


def _empty(schema: Mapping[str, Any]) -> Any:  # noqa: PLR0911  # one for each kind of schema
    """A value of the schema's type, for a call that must be made without one."""
    if "default" in schema:
        return schema["default"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    low = schema.get("minimum")
    match _kind(schema):
        case "integer" | "number":
            return low if isinstance(low, int | float) else 0
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            return {}
        case _:
            return ""
