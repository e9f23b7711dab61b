"""A later offer of a call: what may change, and what then stays (RFC 3264, section 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transceiver.errors import OfferError
from transceiver.plan import AudioPlan, DataPlan, DtlsRole, Plan, TransportPlan
from transceiver.sdp.audio import rtpmaps
from transceiver.sdp.syntax import Section, shown
from transceiver.sdp.transport import has_ended, read_transport

MAX_TRANSPORTS = 4  # of a call; those of sections that have ended count


def check_continuity(sections: Sequence[Section], previous: Plan) -> None:
    """Check what a later offer must keep.

    Raises:
        OfferError: The session cannot be changed so.
    """
    if len(sections) < previous.sections:
        raise OfferError(
            f"the offer has {len(sections)} sections and the last one had {previous.sections}: "
            "a section stays in its place for ever, with port 0 when it has ended"
        )
    for plan, kind in ((previous.audio, "audio"), (previous.data, "application")):
        if plan is None or has_ended(sections[plan.section]):
            continue
        _check_section(sections[plan.section], plan, kind)
        if isinstance(plan, AudioPlan):
            _check_payload_types(sections[plan.section], plan)


def continued_data(data: DataPlan | None, before: DataPlan | None) -> DataPlan | None:
    """The data section of a later offer, whose association goes on.

    Raises:
        OfferError: It would need a new association.
    """
    if data is None or before is None or data.section != before.section:
        return data
    if data.port != before.port:
        raise OfferError(
            f"the offer changes a=sctp-port from {before.port} to {data.port}: an association "
            "cannot move; add a new call for it"
        )
    if before.sctp_init is None:
        return replace(data, sctp_init=None)  # it began without, and has begun
    if data.sctp_init not in (None, before.sctp_init):
        raise OfferError("the offer changes a=sctp-init, and the association has begun with it")
    return data


def places_of_transports(
    previous: Plan, audio: AudioPlan | None, data: DataPlan | None, *, shared: bool
) -> Mapping[int, int]:
    """The index of the transport of each section in use, by the section's.

    Sections that had transports of their own keep them, also where the client would bundle them
    now. New sections go to the transport of their group, or get one more.

    Args:
        previous: What the call works by; without transports when it begins.
        audio: The audio section in use.
        data: The data section in use.
        shared: Whether both are there and in one BUNDLE group.

    Raises:
        OfferError: A section would move to another transport, or there would be too many.
    """
    pairs = ((audio, previous.audio), (data, previous.data))
    places = {
        now.section: before.transport
        for now, before in pairs
        if now and before and now.section == before.section
    }
    if len(places) == 2 and len(set(places.values())) == 1 and not shared:
        raise OfferError(
            "the offer takes a section out of the BUNDLE group: it cannot move to another "
            "transport in mid-call"
        )
    following = len(previous.transports)
    for now, _ in pairs:
        if now and now.section not in places:
            if shared and places:
                places[now.section] = next(iter(places.values()))
            else:
                places[now.section] = following
                following += 1
    if following > MAX_TRANSPORTS:
        raise OfferError(
            f"the call has had {MAX_TRANSPORTS} transports: bundle its sections, or make a new call"
        )
    return places


def continued_transports(
    previous: Plan, places: Mapping[int, int], speakers: Mapping[int, Section], role: DtlsRole
) -> tuple[TransportPlan, ...]:
    """All transports: those of before, with new credentials where the offer has them, and new ones.

    Args:
        previous: What the call works by; without transports when it begins.
        places: The index of the transport of each section in use.
        speakers: The section that speaks of the transport of each section in use.
        role: What we are in a new handshake where the client leaves the choice.

    Raises:
        OfferError: What the offer says of one is not enough, or needs a second handshake.
    """
    transports = dict(enumerate(previous.transports))
    for section, place in places.items():
        if place < len(previous.transports):
            transports[place] = _continued(speakers[section], previous.transports[place])
        else:  # bundled sections have one speaker, which says the same of both
            transports[place] = read_transport(speakers[section], role)
    return tuple(transports[place] for place in sorted(transports))


def _continued(speaker: Section, before: TransportPlan) -> TransportPlan:
    """The transport with the credentials of now and the handshake of before."""
    transport = read_transport(speaker, before.role)
    if not set(transport.fingerprints) & set(before.fingerprints):
        raise OfferError(
            "the offer has another a=fingerprint: a new certificate needs a new handshake, and "
            "that a new call"
        )
    if transport.role is not before.role:
        raise OfferError(
            f"the offer needs us to be {transport.role.value} in the DTLS handshake, and we were "
            f"{before.role.value}: write a=setup:actpass"
        )
    return transport


def _check_section(section: Section, plan: AudioPlan | DataPlan, kind: str) -> None:
    if section.kind != kind:
        raise OfferError(
            f"section {section.index} of the offer was {kind} and is {shown(section.kind)} now: "
            "the order of sections stays"
        )
    if section.mid != plan.mid:
        raise OfferError(f"section {section.index} of the offer has another a=mid than before")


def _check_payload_types(section: Section, before: AudioPlan) -> None:
    """A payload type keeps its meaning as long as the call lives (RFC 3264, section 8.3.2)."""
    meanings = {each.payload_type: each.codec.value.lower() for each in before.formats}
    meanings |= dict.fromkeys(before.events.values(), "telephone-event")
    if before.redundancy is not None:
        meanings[before.redundancy.payload_type] = "red"
    for payload_type, encoding in rtpmaps(section).items():
        if meanings.get(payload_type, encoding.name) != encoding.name:
            raise OfferError(
                f"payload type {payload_type} was {meanings[payload_type]} and is "
                f"{shown(encoding.name)} now: take a number that is free"
            )
