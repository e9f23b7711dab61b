"""An offer, what of it is used, and the answer to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from transceiver.errors import OfferError
from transceiver.plan import AudioPlan, DataPlan, DtlsRole, Plan
from transceiver.sdp.answer import Local, write_answer
from transceiver.sdp.audio import is_audio, is_held_by_address, read_audio
from transceiver.sdp.continuity import (
    check_continuity,
    continued_data,
    continued_transports,
    places_of_transports,
)
from transceiver.sdp.data import is_data, read_data
from transceiver.sdp.syntax import Description, Section, read_description
from transceiver.sdp.transport import Bundles, has_ended, read_transport

Used = TypeVar("Used", AudioPlan, DataPlan)


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer whose text could be read.

    Attributes:
        description: The text, taken apart.
        bundles: Its BUNDLE groups.
    """

    description: Description
    bundles: Bundles

    def plan(self, previous: Plan | None = None, *, role: DtlsRole = DtlsRole.SERVER) -> Plan:
        """Decide what of the offer is used.

        Args:
            previous: What the call works by, when this offer changes one.
            role: What we are in the DTLS handshake where the client leaves the choice
                (``setup:actpass``); in a later offer the role stays what it was.

        Raises:
            OfferError: It cannot lead to a session, or the session cannot be changed so. Nothing
                has changed then.
        """
        sections = self.description.sections
        if any("ice-lite" in section for section in sections):
            raise OfferError("the offer is ice-lite, as the server is: nobody would send checks")
        if previous is not None:
            check_continuity(sections, previous)
        audio = self._audio(previous)
        data = self._data(previous)
        if audio is None and data is None:
            raise OfferError(
                "the offer has no audio and no data channel to accept: add audio; to end a call, "
                "hang up",
                "no_media",
            )
        return self._with_transports(audio, data, previous, role)

    def answer(self, plan: Plan, local: Local, previous: str | None = None) -> str:
        """The text of the answer.

        Args:
            plan: What `plan` has returned.
            local: What is ours.
            previous: The last answer of the call. The version is one above its version when
                anything else has changed, and the same when nothing has (RFC 3264, section 8).
        """
        return write_answer(self.description, self.bundles.groups, plan, local, previous)

    def _audio(self, previous: Plan | None) -> AudioPlan | None:
        """The audio section that goes on, else the first usable one in which somebody may talk."""
        before = previous.audio if previous else None
        offered = [
            section
            for section in self.description.sections
            if section.kind == "audio" and self._is_offered(section)
        ]
        if before is not None and any(each.index == before.section for each in offered):
            offered = [each for each in offered if each.index == before.section]
        usable: list[AudioPlan] = []
        problems: list[OfferError] = []
        for section in offered:
            try:
                plan = self._read_audio(section)
            except OfferError as error:
                problems.append(error)
                continue
            usable.append(plan)
            if plan.receive or plan.send:
                break
        if not usable and problems:
            raise problems[0]
        chosen = next((each for each in usable if each.receive or each.send), None)
        chosen = chosen or next(iter(usable), None)
        if chosen is not None and before is not None and before.section == chosen.section:
            held = is_held_by_address(self.description.sections[chosen.section])
            chosen = replace(chosen, send=chosen.send and not held)
        return chosen

    def _read_audio(self, section: Section) -> AudioPlan:
        """What an audio section says, if its transport says enough as well."""
        if not is_audio(section):
            raise OfferError(
                "the offer's section audio is not RTP over DTLS: write UDP/TLS/RTP/SAVPF"
            )
        plan = read_audio(section)
        read_transport(self.bundles.speaker([section]), DtlsRole.SERVER)
        return plan

    def _data(self, previous: Plan | None) -> DataPlan | None:
        before = previous.data if previous else None
        offered = [
            section
            for section in self.description.sections
            if is_data(section) and self._is_offered(section)
        ]
        if before is not None:
            offered.sort(key=lambda section: section.index != before.section)
        read = map(read_data, offered)
        data = next((each for each in read if each is not None), None)
        return continued_data(data, before)

    def _is_offered(self, section: Section) -> bool:
        """A section without a port of its own needs a group that has one."""
        return section.port != 0 or (
            not has_ended(section) and self.bundles.group(section) is not None
        )

    def _with_transports(
        self,
        audio: AudioPlan | None,
        data: DataPlan | None,
        previous: Plan | None,
        role: DtlsRole,
    ) -> Plan:
        used = [self.description.sections[each.section] for each in (audio, data) if each]
        shared = len(used) == 2 and self.bundles.are_one(used)
        speakers = (
            [self.bundles.speaker(used)] * 2
            if shared
            else [self.bundles.speaker([section]) for section in used]
        )
        of = {section.index: each for section, each in zip(used, speakers, strict=True)}
        before = previous or Plan((), None, None)
        places = places_of_transports(before, audio, data, shared=shared)
        transports = continued_transports(before, places, of, role)
        return Plan(
            transports=transports,
            audio=_placed(audio, places),
            data=_placed(data, places),
            sections=len(self.description.sections),
        )


def read_offer(text: str) -> Offer:
    """Read an offer.

    Raises:
        OfferError: It is no session description.
    """
    description = read_description(text)
    return Offer(description, Bundles.of(description))


def _placed(plan: Used | None, places: Mapping[int, int]) -> Used | None:
    return plan and replace(plan, transport=places[plan.section])
