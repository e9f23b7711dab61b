"""What of an SDP offer the transceiver takes, and the answer around it. Pure text, no state.

aiortc takes whole offers or fails on them with errors that help nobody. So an offer is read here
first: faults get a name, media sections that a voice session does not use are rejected with port 0
(RFC 3264, section 6), and aiortc sees only the rest. `Offer.answer` puts the rejected sections
back, because an answer has the sections of its offer in the same order.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transceiver.errors import OfferError

MAX_SIZE = 65536  # characters; offers of browsers have 2,000 to 10,000

_MEDIA_LINE = re.compile(r"m=([a-z]+) (\d{1,5})(?:/\d+)? ([A-Za-z/]+)((?: \S+)+)$")
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}$")  # RFC 8839, section 5.4
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}$")
_FINGERPRINT = re.compile(
    r"sha-(256|384|512) [0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31,63}$", re.IGNORECASE
)
_CODEC = re.compile(r"\d{1,3} (opus/48000|PCMU/8000|PCMA/8000|G722/8000)(/\d)?$", re.IGNORECASE)
# Payload types that need no rtpmap (RFC 3551, section 6).
_STATIC_CODECS = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
_DIRECTIONS = frozenset({"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"})
_SETUPS = {"actpass", "active", "passive"}


@dataclass(frozen=True, slots=True)
class Section:
    """A media section: its lines, the first of which is the m= line.

    Attributes:
        lines: Without line ends.
        accepted: Whether a voice session uses it.
    """

    lines: tuple[str, ...]
    accepted: bool

    @property
    def mid(self) -> str | None:
        """The value of a=mid, if there is one."""
        return _value(self.lines, "mid")

    def rejection(self) -> tuple[str, ...]:
        """The section of an answer that rejects this one."""
        media, _, transport = self.lines[0].split(" ", 2)
        mid = () if self.mid is None else (f"a=mid:{self.mid}",)
        return (f"{media} 0 {transport}", "c=IN IP4 0.0.0.0", *mid, "a=inactive")


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked offer.

    Attributes:
        session: The lines before the first m= line.
        sections: All media sections, in order; at least one is accepted.
        bundled: Whether all accepted sections share one transport (RFC 9143).
        credentials: The ICE ufrag and password of the client; others mean an ICE restart.
    """

    session: tuple[str, ...]
    sections: tuple[Section, ...]
    bundled: bool
    credentials: tuple[str, str]

    @property
    def accepted(self) -> str:
        """The offer without rejected sections and candidates, for which a lite agent has no use."""
        sections = [section for section in self.sections if section.accepted]
        session = _without_groups(self.session)
        if self.bundled:
            session += (_bundle(sections),)
        return _join([session, *(_prepared(section, self.session) for section in sections)])

    def answer(self, accepted: str) -> str:
        """The answer to the whole offer, made of the answer to `accepted`."""
        session, answers = _split(accepted)
        session = _without_groups(session)
        if self.bundled:
            session += (_bundle([section for section in self.sections if section.accepted]),)
        remaining = iter(answers)
        return _join(
            [
                session,
                *(
                    next(remaining) if section.accepted else section.rejection()
                    for section in self.sections
                ),
            ]
        )


def parse_offer(text: str) -> Offer:
    """Read and check an offer.

    Raises:
        OfferError: It cannot lead to a session.
    """
    if len(text) > MAX_SIZE:
        raise OfferError(f"the offer is longer than {MAX_SIZE} characters")
    if not text.startswith("v=0"):
        raise OfferError("the offer is not SDP: it does not begin with v=0")
    session, media = _split(text)
    if "a=ice-lite" in session:
        raise OfferError("the offer is ice-lite, as the server is: nobody would send checks")
    sections = tuple(_sections(media))
    used = [section for section in sections if section.accepted]
    if not used:
        raise OfferError("the offer has no audio and no data channel to accept", "no_media")
    for section in used:
        _check(section, session)
    mids = [section.mid for section in sections if section.mid is not None]
    if len(mids) != len(set(mids)):
        raise OfferError("the offer has two sections with the same a=mid")
    first = used[0].lines
    return Offer(
        session=session,
        sections=sections,
        bundled=_is_bundled(session, used),
        credentials=(_either(first, session, "ice-ufrag"), _either(first, session, "ice-pwd")),
    )


def _sections(media: Sequence[tuple[str, ...]]) -> Iterator[Section]:
    taken: set[str] = set()
    for lines in media:
        match = _MEDIA_LINE.match(lines[0])
        if match is None or int(match[2]) > 65535:
            raise OfferError(f"not a media line: {lines[0][:80]!r}")
        kind, port, formats = match[1], int(match[2]), match[4].split()
        offered = port != 0 or "a=bundle-only" in lines
        usable = kind == "audio" or (kind == "application" and "webrtc-datachannel" in formats)
        # One voice and one association for data channels: further sections have no use here.
        accepted = offered and usable and kind not in taken
        if accepted:
            taken.add(kind)
        yield Section(lines, accepted)


def _check(section: Section, session: Sequence[str]) -> None:
    lines = section.lines
    where = f"the offer's section {lines[0].split(' ')[0]}"
    if not _UFRAG.match(_either(lines, session, "ice-ufrag")):
        raise OfferError(f"{where} has no valid a=ice-ufrag")
    if not _PASSWORD.match(_either(lines, session, "ice-pwd")):
        raise OfferError(f"{where} has no valid a=ice-pwd")
    if not any(_FINGERPRINT.match(value) for value in _all(lines, session, "fingerprint")):
        raise OfferError(f"{where} has no a=fingerprint with SHA-256, SHA-384 or SHA-512")
    if _either(lines, session, "setup") not in _SETUPS:
        raise OfferError(f"{where} needs a=setup with actpass, active or passive")
    if lines[0].startswith("m=audio"):
        if "a=rtcp-mux" not in lines:
            raise OfferError(f"{where} has no a=rtcp-mux: RTP and RTCP share one port here")
        named = any(_CODEC.match(value) for value in _all(lines, (), "rtpmap"))
        if not named and not _STATIC_CODECS.keys() & set(lines[0].split(" ")[3:]):
            raise OfferError(f"{where} has no codec in common: offer Opus", "no_codec")


def _is_bundled(session: Sequence[str], used: Sequence[Section]) -> bool:
    mids = {section.mid for section in used}
    groups = (set(value.split()[1:]) for value in _all((), session, "group", "BUNDLE "))
    return None not in mids and any(mids <= group for group in groups)


def _bundle(sections: Sequence[Section]) -> str:
    return " ".join(["a=group:BUNDLE", *(section.mid or "" for section in sections)])


def _without_groups(session: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in session if not line.startswith("a=group:"))


def _prepared(section: Section, session: Sequence[str]) -> tuple[str, ...]:
    """The section as aiortc reads it, which knows no candidates of TCP, and no defaults."""
    lines = tuple(line for line in section.lines if not line.startswith("a=candidate:"))
    if not lines[0].startswith("m=audio"):
        return lines
    named = {value.split(" ")[0] for value in _all(lines, (), "rtpmap")}
    static = [kind for kind in lines[0].split(" ")[3:] if kind in _STATIC_CODECS.keys() - named]
    lines += tuple(f"a=rtpmap:{kind} {_STATIC_CODECS[kind]}" for kind in static)
    if not _DIRECTIONS.intersection(lines):  # may stand at session level (RFC 8866, 6.7)
        lines += (next((line for line in session if line in _DIRECTIONS), "a=sendrecv"),)
    return lines


def _split(text: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    blocks: list[list[str]] = [[]]
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("m="):
            blocks.append([])
        if line.strip():
            blocks[-1].append(line.rstrip())
    return tuple(blocks[0]), [tuple(block) for block in blocks[1:]]


def _join(blocks: Sequence[Sequence[str]]) -> str:
    return "".join(f"{line}\r\n" for block in blocks for line in block)


def _value(lines: Sequence[str], name: str) -> str | None:
    prefix = f"a={name}:"
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), None)


def _either(lines: Sequence[str], session: Sequence[str], name: str) -> str:
    return _value(lines, name) or _value(session, name) or ""


def _all(lines: Sequence[str], session: Sequence[str], name: str, start: str = "") -> Iterator[str]:
    prefix = f"a={name}:"
    for line in (*session, *lines):
        if line.startswith(prefix + start):
            yield line.removeprefix(prefix)
