"""What an audio section says: codecs, events, header extensions, feedback, direction.

RFC 3264 (offer and answer), RFC 3551 (static payload types), RFC 5761 (RTP and RTCP on one port),
RFC 7587 (Opus), RFC 3389 (comfort noise), RFC 2198 (redundancy), RFC 4733 (events), RFC 8285
(header extensions), RFC 4585 (feedback).
"""

from collections.abc import Mapping
from typing import NamedTuple

from transceiver.errors import OfferError
from transceiver.plan import AudioPlan, Codec, Format, Redundancy
from transceiver.sdp.syntax import Section, number

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

NACK, TRANSPORT_CC_FEEDBACK, REMB = "nack", "transport-cc", "goog-remb"
EVENT_CLOCKS = (8000, 48000)  # Hz; those of the codecs

# RFC 8829, section 5.1.2, and what was written before it. Whether media is encrypted depends on
# the fingerprint, not on the name.
_PROTOCOLS = frozenset(
    f"{transport}{profile}"
    for transport in ("UDP/TLS/", "TCP/TLS/", "UDP/DTLS/", "TCP/DTLS/", "DTLS/", "")
    for profile in ("RTP/SAVPF", "RTP/SAVP", "RTP/AVPF", "RTP/AVP")
)
_RTCP_TYPES = range(64, 96)  # payload types that RTCP on the same port takes (RFC 5761, section 4)
_LONGEST_MID = 16  # bytes of a one-byte header extension (RFC 8285, section 4.2)
_DIRECTIONS = {  # of the client: whether it sends, whether it receives
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
_RESERVED_ID = 15  # of header extensions (RFC 8285, section 4.2)
_DISCARD = 9  # the port of an offer that has no candidates yet (RFC 8840, section 4.1.3)


class Rtpmap(NamedTuple):
    """An encoding.

    Attributes:
        name: In small letters.
        clock: Hz.
        channels: As written; None where nothing is.
        spelling: All of it as the offer has it, which is how an answer repeats it.
    """

    name: str
    clock: int
    channels: int | None
    spelling: str


class Extension(NamedTuple):
    """A header extension of the offer (RFC 8285).

    Attributes:
        id: 1 to 14, or 16 to 255 with two-byte headers.
        sends: Whether the client may send it.
        takes: Whether the client wants to receive it.
    """

    id: int
    sends: bool
    takes: bool


_NOISE = 13  # static, of comfort noise
_STATIC = {  # what needs no a=rtpmap (RFC 3551, section 6)
    0: Rtpmap("pcmu", 8000, None, "PCMU/8000"),
    8: Rtpmap("pcma", 8000, None, "PCMA/8000"),
}


def is_audio(section: Section) -> bool:
    """Whether the section is audio over RTP, in any spelling."""
    return section.kind == "audio" and section.protocol.upper() in _PROTOCOLS


def read_audio(section: Section) -> AudioPlan:
    """What the section says; its transport is 0 until somebody knows better.

    Raises:
        OfferError: It cannot be used.
    """
    if "rtcp-mux" not in section and "rtcp-mux-only" not in section:
        raise OfferError(
            "the offer's section audio has no a=rtcp-mux: RTP and RTCP share one port here"
        )
    encodings = rtpmaps(section)
    formats = _formats(section, encodings)
    if not formats:
        raise OfferError(_no_codec(section), "no_codec")
    extensions = dict(extensions_of(section))
    types = [each.payload_type for each in formats]
    feedback = frozenset().union(*feedbacks(section, types).values())
    if TRANSPORT_CC not in extensions:
        feedback -= {TRANSPORT_CC_FEEDBACK}
    if TRANSPORT_CC_FEEDBACK not in feedback:
        extensions.pop(TRANSPORT_CC, None)
    if TRANSPORT_CC_FEEDBACK in feedback or REMB not in feedback:
        extensions.pop(ABS_SEND_TIME, None)  # of use only for an estimate by REMB
    sends, receives = direction(section)
    return AudioPlan(
        mid=section.mid,
        transport=0,
        formats=formats,
        events=_events(encodings),
        extensions={uri: each.id for uri, each in extensions.items()},
        feedback=feedback,
        receive=sends,
        send=receives,
        ptime=_packet_time(section),
        reduced_rtcp="rtcp-rsize" in section,
        section=section.index,
        unsent=frozenset(uri for uri, each in extensions.items() if not each.takes),
        noise=_noise(formats, encodings),
        redundancy=_redundancy(section, formats, encodings),
    )


def rtpmaps(section: Section) -> Mapping[int, Rtpmap]:
    """The encodings of the payload types in the m= line, in its order; without unknown ones."""
    named: dict[int, Rtpmap] = {}
    for value in section.own.all("rtpmap"):
        kind, _, rest = value.partition(" ")
        payload_type, encoding = number(kind, 0, 127), _rtpmap(rest.strip())
        if payload_type is not None and encoding is not None:
            named.setdefault(payload_type, encoding)
    listed = dict.fromkeys(number(each, 0, 127) for each in section.formats)
    return {
        each: encoding
        for each in listed
        if each is not None
        and each not in _RTCP_TYPES
        and (encoding := named.get(each) or _STATIC.get(each))
    }


def feedbacks(section: Section, payload_types: list[int]) -> Mapping[int, frozenset[str]]:
    """What RTCP feedback of those known here the offer has for each of some payload types.

    A profile without F at its end has none (RFC 4585, section 4).
    """
    found: dict[str, set[str]] = {}
    if section.protocol.upper().endswith("F"):
        for value in section.own.all("rtcp-fb"):
            kind, _, message = value.partition(" ")
            if message.strip().lower() in (NACK, TRANSPORT_CC_FEEDBACK, REMB):
                found.setdefault(kind, set()).add(message.strip().lower())
    everywhere = found.get("*", set())
    return {each: frozenset(found.get(str(each), set()) | everywhere) for each in payload_types}


def extensions_of(section: Section) -> Mapping[str, Extension]:
    """The header extensions known here that the offer has, by URI; without inactive ones.

    Attributes after the URI are passed over: those of the audio level say whether its voice bit
    means something, and nobody here asks it.
    """
    found: dict[str, Extension] = {}
    taken: set[int] = set()
    for value in (*section.own.all("extmap"), *section.session.all("extmap")):
        entry, uri, *_ = (*value.split(None, 2), "", "")
        written, _, way = entry.partition("/")
        of = number(written, 1, 255)
        # 15 means nothing (RFC 8285, section 4.2); two of one id cannot be told apart.
        if of is None or of == _RESERVED_ID or of in taken:
            continue
        taken.add(of)
        sends, takes = _DIRECTIONS.get(way.lower() or "sendrecv", (False, False))
        if uri in (AUDIO_LEVEL, MID, TRANSPORT_CC, ABS_SEND_TIME) and (sends or takes):
            found.setdefault(uri, Extension(of, sends=sends, takes=takes))
    if section.mid is None or len(section.mid) > _LONGEST_MID:
        found.pop(MID, None)
    return found


def direction(section: Section) -> tuple[bool, bool]:
    """Whether the client sends, and whether it receives; sendrecv where it does not say."""
    for level in (section.own, section.session):
        for name, meaning in _DIRECTIONS.items():
            if name in level:
                return meaning
    return _DIRECTIONS["sendrecv"]


def is_held_by_address(section: Section) -> bool:
    """Whether ``c=IN IP4 0.0.0.0`` says that the client does not receive (RFC 3264, section 8.4).

    With port 9, or with candidates, it says only that the address stands elsewhere.
    """
    nowhere = section.connection.split()[-1:] in (["0.0.0.0"], ["::"])  # noqa: S104  # no binding
    return nowhere and section.port not in (0, _DISCARD) and "candidate" not in section.own


def _rtpmap(text: str) -> Rtpmap | None:
    name, *numbers = text.split("/")
    clock = number(numbers[0], 1, 1 << 31) if numbers else None
    channels = number(numbers[1], 1, 255) if len(numbers) == 2 else None
    if clock is None or len(numbers) > 2 or (len(numbers) == 2 and channels is None):
        return None
    return Rtpmap(name.lower(), clock, channels, text)


def _packet_time(section: Section) -> int | None:
    """What the client wants, and no more than what it takes (RFC 8866, sections 6.4 and 6.5)."""
    wanted, longest = (number(section.own.first(name), 1, 1000) for name in ("ptime", "maxptime"))
    return wanted if wanted is None or longest is None else min(wanted, longest)


def _codec(encoding: Rtpmap) -> Codec | None:
    """Opus has two channels in every offer that follows RFC 7587; others mean the same."""
    match encoding.name, encoding.clock, encoding.channels:
        case "opus", 48000, _:
            return Codec.OPUS
        case "pcmu", 8000, None | 1:
            return Codec.PCMU
        case "pcma", 8000, None | 1:
            return Codec.PCMA
    return None


def _formats(section: Section, encodings: Mapping[int, Rtpmap]) -> tuple[Format, ...]:
    known = {each: codec for each, encoding in encodings.items() if (codec := _codec(encoding))}
    parameters: dict[int, dict[str, str]] = {each: {} for each in known}
    for value in section.own.all("fmtp"):
        kind, _, rest = value.partition(" ")
        of = number(kind, 0, 127)
        if of in parameters:
            for parameter in rest.split(";"):
                name, _, setting = parameter.partition("=")
                if name.strip():
                    parameters[of].setdefault(name.strip().lower(), setting.strip())
    return tuple(Format(codec, each, parameters[each]) for each, codec in known.items())


def _events(encodings: Mapping[int, Rtpmap]) -> Mapping[int, int]:
    events: dict[int, int] = {}
    for payload_type, encoding in encodings.items():
        if encoding.name == "telephone-event" and encoding.clock in EVENT_CLOCKS:
            events.setdefault(encoding.clock, payload_type)
    return events


def _noise(formats: tuple[Format, ...], encodings: Mapping[int, Rtpmap]) -> int | None:
    """The payload type of comfort noise, which is for G.711: Opus has noise of its own.

    It is 13 without a word (RFC 3551, section 6): gateways send it so.
    """
    if all(each.codec is Codec.OPUS for each in formats):
        return None
    told = (each for each, of in encodings.items() if (of.name, of.clock) == ("cn", 8000))
    return next(told, None if _NOISE in encodings else _NOISE)


def _redundancy(
    section: Section, formats: tuple[Format, ...], encodings: Mapping[int, Rtpmap]
) -> Redundancy | None:
    """Redundancy for Opus, if the offer has it: an a=fmtp that names Opus, twice or more often."""
    opus = [each.payload_type for each in formats if each.codec is Codec.OPUS]
    order = list(encodings)
    for value in section.own.all("fmtp"):
        kind, _, rest = value.partition(" ")
        payload_type = number(kind, 0, 127)
        named = {number(each, 0, 127) for each in rest.split("/")}
        encoding = encodings.get(-1 if payload_type is None else payload_type)
        if payload_type is None or encoding is None or len(named) > 1 or "/" not in rest:
            continue
        (of,) = named
        if (encoding.name, encoding.clock) == ("red", 48000) and of is not None and of in opus:
            preferred = order.index(payload_type) < order.index(of)
            return Redundancy(payload_type, of, preferred=preferred)
    return None


def _no_codec(section: Section) -> str:
    if any(number(each, 64, 95) is not None for each in section.formats):
        return (
            "the offer's section audio has no codec in common but with payload types 64 to 95, "
            "which RTCP has on the same port: use 96 to 127, or 35 to 63"
        )
    return "the offer's section audio has no codec in common: offer Opus, PCMU or PCMA"
