"""The reference of what goes over the wire and into Redis, made of the modules that write it."""

import inspect
from collections.abc import Iterator
from types import ModuleType

from relay.mirror import record
from relay.wire import (
    announcement,
    demux,
    framing,
    goodbye,
    keysource,
    question,
    route,
    siphash,
    stun,
)
from relay.wire.endpoint import Endpoint

_HEAD = """\
# Wire formats

After this page you can read and write everything that Icelane's parts say to each other over UDP,
and what a relay keeps in Redis. Libraries of one file for [Go and
JavaScript](fronting.md#libraries) do, and are held together with this by vectors
(`docs/fronting/vectors.json`).

Clients speak standards alone: STUN, DTLS, RTP and RTCP, told apart by the first byte (RFC 7983).
What stands below is between relays and transceivers; it begins with bytes that no protocol of a
client has.

This page is made of the modules that write the formats by `make reference`.
"""

_SECTIONS: dict[str, ModuleType] = {
    "The route in the ufrag": route,
    "Announcement": announcement,
    "Goodbye": goodbye,
    "Question and answer": question,
    "Tags": siphash,
    "Keys": keysource,
    "STUN": stun,
    "Frames on TCP": framing,
    "A flow in Redis": record,
}


def text() -> str:
    """The page."""
    parts = [_HEAD, *_first_bytes(), *_addresses()]
    for title, module in _SECTIONS.items():
        parts += [f"## {title}\n", _markdown(inspect.getdoc(module) or "")]
        parts.append(f"Code: `{module.__name__.replace('.', '/')}.py`.\n")
    return "\n".join(parts)


def _first_bytes() -> Iterator[str]:
    yield "## First bytes\n"
    yield "Which of them gets where is said by [verdicts](verdicts.md#who-gets-it).\n"
    yield "| first byte | what it is |"
    yield "| --- | --- |"
    own = {
        announcement.FIRST_BYTE: "[announcement](#announcement): relay to transceiver",
        goodbye.FIRST_BYTE: "[goodbye](#goodbye): transceiver to relay",
        question.QUESTION: "[question](#question-and-answer): relay to transceiver",
        question.ANSWER: "[answer](#question-and-answer): transceiver to relay",
    }
    kinds = [own.get(first) or _kind(first) for first in range(256)]
    start = 0
    for first in range(1, 257):
        if first == 256 or kinds[first] != kinds[start]:
            numbers = f"{start}" if first - 1 == start else f"{start} to {first - 1}"
            yield f"| {numbers} | {kinds[start]} |"
            start = first
    yield ""


def _kind(first: int) -> str:
    data = bytes([first])
    kind = demux.classify(data)
    if kind is not demux.Kind.OTHER:
        return {demux.Kind.RTP: "RTP and RTCP"}.get(kind, kind.name)
    if demux.is_control(data):
        return "unused, for relays and transceivers"
    return "ZRTP" if first < 20 else "TURN channel data"


def _addresses() -> Iterator[str]:
    yield "## Transport addresses\n"
    yield f"Packed: {' '.join((inspect.getdoc(Endpoint.packed) or '').split())}\n"
    for shown in ("203.0.113.2:40000", "[2001:db8::2]:40000"):
        yield f"    {shown:20} {Endpoint.parse(shown).packed.hex(' ', 2)}"
    yield ""


def _markdown(docstring: str) -> str:
    """A docstring as it is: what is indented is code in Markdown, too."""
    return docstring.strip() + "\n"
