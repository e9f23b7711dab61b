"""What bpf/relay.h and bpf/maps.h say of the maps, as their text has it: comments, too.

Only what these two files use of C is understood; offsets are by the natural alignment of every
member, and `tests/docs/test_maplayouts.py` holds them against the compiler's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BPF = Path(__file__).parents[2] / "bpf"

# Bytes of each type of one member.
_SIZES = {
    "__u8": 1,
    "__u16": 2,
    "__be16": 2,
    "__u32": 4,
    "__be32": 4,
    "__u64": 8,
    "__le64": 8,
}
_ORDERS = {"__be16": "network", "__be32": "network", "__le64": "little"}

_ENUM = re.compile(r"^enum (\w+) \{\n(.*?)^\};", re.DOTALL | re.MULTILINE)
_VALUE = re.compile(r"^\s*([A-Z]\w*)(?: = (\w+))?,(?:\s*/\*(.*?)\*/)?", re.MULTILINE)
_DEFINE = re.compile(r"^#define (\w+) (\([^\n]*?\)|\w+)\s*(?:/\*.*)?$", re.MULTILINE)
_REASON = re.compile(r"^\s*X\((\w+), (\w+)\)", re.MULTILINE)
_STRUCT = re.compile(
    r"(?:/\*((?:(?!\*/).)*?)\*/\n)?^struct (\w+) \{\n(.*?)^\};", re.DOTALL | re.MULTILINE
)
_MEMBER = re.compile(
    r"(?P<type>(?:struct )?\w+) (?P<name>\w+)(?:\[(?P<number>\w+)\])?;"
    r"(?:\s*/\*(?P<after>.*?)\*/)?|/\*(?P<before>.*?)\*/",
    re.DOTALL,
)
_MAP = re.compile(
    r"(?:/\*(?P<said>(?:(?!\*/).)*?)\*/\n)?^BPF_(?:F_)?TABLE\(\"(?P<kind>\w+)\", (?P<key>[\w ]+),"
    r" (?P<value>[\w ]+), (?P<name>\w+), (?P<entries>[\w ]+<*[\w ]*)(?:, \w+)?\);",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct.

    Attributes:
        name: Its name.
        type: Its type in C, with the number of an array's elements behind it.
        offset: Where it is, in bytes.
        size: How long it is, in bytes.
        order: The byte order of its numbers; "" for a struct and for single bytes.
        said: What its comment says.
    """

    name: str
    type: str
    offset: int
    size: int
    order: str
    said: str


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct.

    Attributes:
        name: Its name.
        size: How long it is, in bytes.
        members: Its members.
        said: What the comment above it says.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Map:
    """A map.

    Attributes:
        name: Its name, as pinned.
        kind: Its kind, in the kernel's words.
        key: The type of its keys in C.
        value: That of its values.
        entries: How many there are.
        said: What the comment above it says.
    """

    name: str
    kind: str
    key: str
    value: str
    entries: int
    said: str


def reasons() -> list[tuple[str, str]]:
    """The reasons by number, each with its verdict."""
    return _REASON.findall(_text("relay.h"))


def enums() -> dict[str, list[tuple[str, int, str]]]:
    """The enums of relay.h by name, but for that of the reasons: names, numbers, comments."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for name, body in _ENUM.findall(_text("relay.h")):
        number = 0
        for value, written, said in _VALUE.findall(body) if name != "reason" else ():
            number = int(written, 0) if written else number
            found.setdefault(name, []).append((value, number, _prose(said)))
            number += 1
    return found


def structs() -> dict[str, Struct]:
    """The structs of relay.h by name, in its order."""
    source = _text("relay.h")
    numbers = _numbers(source)
    found: dict[str, Struct] = {}
    for said, name, body in _STRUCT.findall(source):
        if name == "counters":  # an X macro makes its members
            body = "".join(f"__u64 {reason}; /* {verdict} */\n" for reason, verdict in reasons())  # noqa: PLW2901
        found[name] = _struct(name, _prose(said), body, numbers, found)
    return found


def maps() -> list[Map]:
    """The maps of maps.h, in its order."""
    numbers = _numbers(_text("relay.h"))
    return [
        Map(
            match["name"],
            match["kind"],
            match["key"],
            match["value"],
            _number(match["entries"], numbers),
            _prose(match["said"] or ""),
        )
        for match in _MAP.finditer(_text("maps.h"))
    ]


def size_of(type_name: str, known: Mapping[str, Struct]) -> int:
    """How many bytes a type has.

    Raises:
        KeyError: There is no such type.
    """
    name = type_name.removeprefix("struct ")
    return known[name].size if type_name.startswith("struct ") else _SIZES[name]


def _text(name: str) -> str:
    return (BPF / name).read_text("utf-8")


def _numbers(source: str) -> dict[str, int]:
    """What is defined as a number, and how many there are of each counted enum."""
    numbers = {name: number for values in enums().values() for name, number, _ in values}
    for name, written in _DEFINE.findall(source):
        try:
            numbers[name] = _number(written.strip("()"), numbers)
        except ValueError:
            continue  # of no number
    return numbers


def _number(written: str, numbers: Mapping[str, int]) -> int:
    """A number, the name of one, or two of them with `<<` or `/` between."""
    first, operator, second = re.match(r"\s*(\w+)\s*(<<|/)?\s*(\w*)", written).groups()  # type: ignore[union-attr]
    left, right = (
        numbers[part] if part in numbers else int(part or "0", 0) for part in (first, second)
    )
    if operator == "<<":
        return left << right
    return left // right if operator else left


def _struct(
    name: str, said: str, body: str, numbers: Mapping[str, int], known: Mapping[str, Struct]
) -> Struct:
    members: list[Member] = []
    offset = widest = 0
    for match in _declared(body):
        one = size_of(match["type"], known)
        aligned = _alignment(match["type"], known)
        offset += -offset % aligned
        count = match["number"] and _number(match["number"], numbers)
        size = one * (count or 1)
        comment = _prose(match["after"] or match["before"] or "")
        written = match["type"] + (f"[{count}]" if count else "")
        order = _ORDERS.get(match["type"], "" if one == 1 or " " in match["type"] else "host")
        members.append(Member(match["name"], written, offset, size, order, comment))
        offset, widest = offset + size, max(widest, aligned)
    return Struct(name, offset + -offset % widest, tuple(members), said)


def _declared(body: str) -> Iterator[dict[str, str]]:
    """The members, each with the comment on its line, or the one on lines of its own above it."""
    above = ""
    for match in _MEMBER.finditer(body):
        if match["name"] is None:
            above = match["before"]
        else:
            yield match.groupdict() | {"before": above}
            above = ""


def _alignment(type_name: str, known: Mapping[str, Struct]) -> int:
    if not type_name.startswith("struct "):
        return _SIZES[type_name]
    members = known[type_name.removeprefix("struct ")].members
    return max(_alignment(re.sub(r"\[\d+\]", "", each.type), known) for each in members)


def _prose(comment: str) -> str:
    """A comment's text, its lines without what leads them; an indented line stays one."""
    lines = [re.sub(r"^\s*\* ?", "", line) for line in comment.strip().splitlines()]
    return "\n".join(lines).strip()
