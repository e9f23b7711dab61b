"""The text of a session description: lines, sections, attributes (RFC 8866). No meaning yet.

What a session does not need is not checked: unknown lines and attributes are passed over, wherever
they stand. Bare line feeds are taken for line ends, as section 5 of the RFC asks of parsers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from transceiver.errors import OfferError

MAX_SIZE = 65536  # characters; offers of browsers have 2,000 to 10,000
MAX_SECTIONS = 256  # browsers in a large conference come to about 100

_LINE_END = re.compile(r"\r\n|\n|\r")
# media, port, number of ports (without use here), protocol, formats: all of them tokens.
_MEDIA = re.compile(
    r"([A-Za-z0-9._-]+)[ \t]+([0-9]{1,5})(?:/[0-9]{1,5})?[ \t]+"
    r"([A-Za-z0-9._/-]+)((?:[ \t]+[A-Za-z0-9._*+-]+)+)"
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]{1,255}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_SHOWN = 60  # characters of a client's text in an error
_WRITTEN = 120  # the same as they are written: one outside of ASCII takes up to ten


class Attributes:
    """The attributes of one level, by name.

    Args:
        lines: What stands after each ``a=``.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self._values.setdefault(name.strip().lower(), []).append(value.strip())

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def all(self, name: str) -> tuple[str, ...]:
        """The values of an attribute, in order; a flag's value is empty."""
        return tuple(self._values.get(name, ()))

    def first(self, name: str) -> str | None:
        """The first value of an attribute, None where there is none."""
        values = self._values.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Section:
    """A media section.

    Attributes:
        index: Its place in the description, from 0.
        kind: The media: ``audio``, ``application`` and others.
        port: 0 to 65535.
        protocol: As it is written.
        formats: Not empty; as they are written.
        connection: What stands after ``c=``, here or else at session level.
        own: Its attributes.
        session: Those of the session, which hold where the section has none of that name.
        mid: Its name (RFC 5888), None without one.
    """

    index: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str
    own: Attributes
    session: Attributes
    mid: str | None

    def __contains__(self, name: str) -> bool:
        return name in self.own or name in self.session

    def all(self, name: str) -> tuple[str, ...]:
        """The section's values of an attribute; the session's where it has none."""
        return self.own.all(name) or self.session.all(name)

    def first(self, name: str) -> str | None:
        """The first of `all`, None where there is none."""
        return next(iter(self.all(name)), None)


@dataclass(frozen=True, slots=True)
class Description:
    """A session description.

    Attributes:
        session: The attributes before the first section.
        sections: In order.
    """

    session: Attributes
    sections: tuple[Section, ...]


def read_description(text: str) -> Description:
    """Read a description, in time that grows with its length and no faster.

    Raises:
        OfferError: It is none, or larger than anybody needs.
    """
    if len(text) > MAX_SIZE:
        raise OfferError(f"the offer is longer than {MAX_SIZE} characters: leave out what is video")
    blocks: list[list[str]] = [[]]
    for line in _LINE_END.split(text):
        if line.startswith("m="):
            blocks.append([])
        blocks[-1].append(line)
    if blocks[0][:1] != ["v=0"]:
        raise OfferError("the offer is not SDP: its first line must be v=0")
    if len(blocks) - 1 > MAX_SECTIONS:
        raise OfferError(f"the offer has more than {MAX_SECTIONS} sections")
    session = _attributes(blocks[0])
    connection = _connection(blocks[0])
    sections = tuple(
        _section(index, lines, session, connection) for index, lines in enumerate(blocks[1:])
    )
    mids = [section.mid for section in sections if section.mid is not None]
    if len(mids) != len(set(mids)):
        raise OfferError("the offer has two sections with the same a=mid")
    return Description(session, sections)


def number(text: str | None, low: int, high: int) -> int | None:
    """A decimal number from `low` to `high`; None when the text is something else."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    value = int(text)
    return value if low <= value <= high else None


def shown(text: str) -> str:
    """A client's text as an error shows it: quoted, on one line, not all of it when it is long."""
    quoted = ascii(text[: _SHOWN + 1])
    if len(text) <= _SHOWN and len(quoted) <= _WRITTEN:
        return quoted
    fitting = (text[:end] for end in range(_SHOWN, 0, -1))
    return ascii(next(each for each in fitting if len(ascii(each)) <= _WRITTEN) + "...")


def _section(index: int, lines: list[str], session: Attributes, connection: str) -> Section:
    media = lines[0].removeprefix("m=").strip()
    match = _MEDIA.fullmatch(media)
    port = number(match[2], 0, 65535) if match else None
    if match is None or port is None:
        raise OfferError(
            f"not a media line: {shown(lines[0])}; write it as "
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 (RFC 8866, section 5.14)"
        )
    own = _attributes(lines)
    mid = own.first("mid")
    if mid is not None and not _TOKEN.fullmatch(mid):
        raise OfferError(f"a=mid must name the section with a word, and says {shown(mid)}")
    return Section(
        index=index,
        kind=match[1],
        port=port,
        protocol=match[3],
        formats=tuple(match[4].split()),
        connection=_connection(lines) or connection,
        own=own,
        session=session,
        mid=mid,
    )


def _attributes(lines: list[str]) -> Attributes:
    return Attributes(line[2:] for line in lines if line.startswith("a="))


def _connection(lines: list[str]) -> str:
    return next((line[2:].strip() for line in lines if line.startswith("c=")), "")
