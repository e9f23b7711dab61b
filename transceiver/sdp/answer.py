"""The text of an answer (RFC 3264, section 6; RFC 8829, section 5.3).

Only what is understood is said: an attribute that a server repeats without knowing it turns on
what it cannot do.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay.wire.transport import Candidate, Transport
from transceiver.plan import AudioPlan, Codec, Credentials, DataPlan, Fingerprint, Plan
from transceiver.sdp.audio import Extension, extensions_of, feedbacks, rtpmaps
from transceiver.sdp.data import is_legacy
from transceiver.sdp.syntax import Description, Section

# What a priority is made of: type preferences (RFC 8445, section 5.1.2.1), and of TCP a direction
# preference beside the other one (RFC 6544, section 4.2), which puts it below UDP.
_HOST_PREFERENCE = 126
_PASSIVE_PREFERENCE = 4
_HIGHEST_OF_UDP, _HIGHEST_OF_TCP = (1 << 16) - 1, (1 << 13) - 1

_NOWHERE = "IN IP4 0.0.0.0"
_ORIGIN = re.compile(r"o=- ([0-9]+) ([0-9]+) ")
_VERSION_LINE = 1  # the o= line is the only one with a version
# How we want to receive; the other parameters' defaults are what we want (RFC 7587, section 6.1).
_OPUS_PARAMETERS = "minptime=10;useinbandfec=1"
_EVENTS = "0-15"  # the keys of a telephone (RFC 4733, section 3.2)
_LEGACY_STREAMS = 65535
# Browsers hand a track to scripts with its stream, and scripts take the first stream.
_MSID = "icelane audio"


@dataclass(frozen=True, slots=True)
class Local:
    """What is ours in an answer.

    Attributes:
        credentials: One of each transport of the plan, in its order.
        candidates: Where the client finds us, the preferred one first.
        fingerprint: Of our certificate.
        session_id: Of the o= line; the same in all answers of a call.
        version: Of the first answer's o= line.
        ssrc: Of the audio that we send.
        cname: RTCP's name of its source: of letters, digits and ``-``.
        max_message_size: Bytes that we take in one message of a data channel.
        sctp_port: Ours.
        sctp_init: Our INIT chunk (SNAP); told only to a client that has told its own.
    """

    credentials: tuple[Credentials, ...]
    candidates: tuple[Candidate, ...]
    fingerprint: Fingerprint
    session_id: int
    version: int
    ssrc: int
    cname: str
    max_message_size: int
    sctp_port: int = 5000
    sctp_init: bytes | None = None


def write_answer(
    description: Description,
    groups: Mapping[str, int],
    plan: Plan,
    local: Local,
    previous: str | None,
) -> str:
    """The answer's text; see `Offer.answer`."""
    lines = [
        "v=0",
        f"o=- {local.session_id} {local.version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        *_bundles(description.sections, groups, plan),
    ]
    for section in description.sections:
        if plan.audio is not None and plan.audio.section == section.index:
            lines += _audio(section, plan.audio, plan, local)
        elif plan.data is not None and plan.data.section == section.index:
            lines += _data(section, plan.data, plan, local)
        else:
            lines += _rejection(section)
    if previous is not None:
        lines[_VERSION_LINE] = _origin(lines, previous)
    return "".join(f"{line}\r\n" for line in lines)


def _origin(lines: Sequence[str], previous: str) -> str:
    """The o= line of an answer that follows another one."""
    before = previous.splitlines()
    match = _ORIGIN.match(before[_VERSION_LINE])
    if match is None:
        raise ValueError(f"no answer of ours: its second line is {before[_VERSION_LINE]!r}")
    others = [each for index, each in enumerate(lines) if index != _VERSION_LINE]
    changed = others != [each for index, each in enumerate(before) if index != _VERSION_LINE]
    return f"o=- {match[1]} {int(match[2]) + changed} IN IP4 127.0.0.1"


def _bundles(sections: Sequence[Section], groups: Mapping[str, int], plan: Plan) -> Iterator[str]:
    """Groups of the sections in use, unless their transports differ after all."""
    transports: dict[int, set[int]] = {}
    members: dict[int, set[str]] = {}
    for used in (plan.audio, plan.data):
        mid = sections[used.section].mid if used else None
        if used is not None and mid is not None and mid in groups:
            transports.setdefault(groups[mid], set()).add(used.transport)
            members.setdefault(groups[mid], set()).add(mid)
    for group, mids in members.items():
        if len(transports[group]) == 1:
            ordered = [mid for mid in groups if mid in mids]
            yield " ".join(["a=group:BUNDLE", *ordered])


def _audio(section: Section, audio: AudioPlan, plan: Plan, local: Local) -> Iterator[str]:
    encodings = rtpmaps(section)
    codecs = {each.payload_type: each.codec for each in audio.formats}
    offered = feedbacks(section, list(codecs))
    types = _payload_types(audio)
    yield from _transport(section, " ".join(map(str, types)), audio.transport, plan, local)
    yield "a=rtcp-mux"
    if audio.reduced_rtcp:
        yield "a=rtcp-rsize"
    extensions = extensions_of(section)
    for uri, number in audio.extensions.items():
        yield f"a=extmap:{number}{_way(extensions[uri])} {uri}"
    yield f"a={_direction(audio)}"
    for kind in types:
        yield f"a=rtpmap:{kind} {encodings[kind].spelling}"
        if codecs.get(kind) is Codec.OPUS:
            yield f"a=fmtp:{kind} {_OPUS_PARAMETERS}"
        elif kind in audio.events.values():
            yield f"a=fmtp:{kind} {_EVENTS}"
        elif audio.redundancy is not None and kind == audio.redundancy.payload_type:
            yield f"a=fmtp:{kind} {audio.redundancy.of}/{audio.redundancy.of}"
        for message in sorted(offered.get(kind, frozenset()) & audio.feedback):
            yield f"a=rtcp-fb:{kind} {message}"
    if audio.send:
        yield f"a=msid:{_MSID}"
        yield f"a=ssrc:{local.ssrc} cname:{local.cname}"


def _payload_types(audio: AudioPlan) -> list[int]:
    """What we like to get, in the client's order where that says what it rather sends.

    Comfort noise is not among it, though it is understood: a client that is told so sends it in
    place of what it takes for silence, and cuts off the beginnings of words.
    """
    types = [each.payload_type for each in audio.formats]
    if audio.redundancy is not None:
        first = types.index(audio.redundancy.of)
        types.insert(
            first if audio.redundancy.preferred else len(types), audio.redundancy.payload_type
        )
    return [*types, *audio.events.values()]


def _way(extension: Extension) -> str:
    """The direction as we see it, left out where it is both."""
    if extension.sends:
        return "" if extension.takes else "/recvonly"
    return "/sendonly"


def _direction(audio: AudioPlan) -> str:
    if audio.send:
        return "sendrecv" if audio.receive else "sendonly"
    return "recvonly" if audio.receive else "inactive"


def _data(section: Section, data: DataPlan, plan: Plan, local: Local) -> Iterator[str]:
    legacy = is_legacy(section)
    port = local.sctp_port
    yield from _transport(
        section, str(port) if legacy else "webrtc-datachannel", data.transport, plan, local
    )
    yield (
        f"a=sctpmap:{port} webrtc-datachannel {_LEGACY_STREAMS}"
        if legacy
        else (f"a=sctp-port:{port}")
    )
    yield f"a=max-message-size:{local.max_message_size}"
    if data.sctp_init is not None and local.sctp_init is not None:
        yield f"a=sctp-init:{base64.b64encode(local.sctp_init).decode()}"


def _transport(
    section: Section, formats: str, transport: int, plan: Plan, local: Local
) -> Iterator[str]:
    """What both kinds of sections begin with; the same in all sections of one transport.

    RFC 9143 wants it in one of them, and all clients take it in each.
    """
    default = next((each for each in local.candidates if each.transport is Transport.UDP), None)
    port, connection = 9, _NOWHERE
    if default is not None:
        port, host = default.address.port, default.address.host
        connection = f"IN {'IP6' if ':' in host else 'IP4'} {host}"
    yield f"m={section.kind} {port} {section.protocol} {formats}"
    yield f"c={connection}"
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    credentials = local.credentials[transport]
    yield f"a=ice-ufrag:{credentials.ufrag}"
    yield f"a=ice-pwd:{credentials.password}"
    yield f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}"
    yield f"a=setup:{plan.transports[transport].role.value}"
    for index, candidate in enumerate(local.candidates):
        yield f"a=candidate:{_candidate(index, candidate)}"
    yield "a=end-of-candidates"


def _candidate(index: int, candidate: Candidate) -> str:
    """A host candidate (RFC 8839, section 5.1); a lower index is preferred."""
    is_tcp = candidate.transport is Transport.TCP
    preference = (
        (_PASSIVE_PREFERENCE << 13) + _HIGHEST_OF_TCP - index if is_tcp else _HIGHEST_OF_UDP - index
    )
    priority = (_HOST_PREFERENCE << 24) + (preference << 8) + 255
    address = candidate.address
    return (
        f"{index} 1 {candidate.transport.value} {priority} {address.host} {address.port} typ host"
        f"{' tcptype passive' if is_tcp else ''}"
    )


def _rejection(section: Section) -> Iterator[str]:
    yield f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}"
    yield f"c={_NOWHERE}"
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    yield "a=inactive"
