"""What a section says of its ICE and DTLS, and which sections share one transport.

RFC 8839 (ICE in SDP), RFC 8842 and RFC 8122 (DTLS, fingerprints), RFC 9143 (BUNDLE).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from transceiver.errors import OfferError
from transceiver.plan import DtlsRole, Fingerprint, TransportPlan
from transceiver.sdp.syntax import Description, Section, shown

MAX_FINGERPRINTS = 32

# RFC 8839, section 5.4, and the four characters besides that libwebrtc takes of older software.
_UFRAG = re.compile(r"[A-Za-z0-9+/=#_-]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/=#_-]{22,256}")
_HEX = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){0,127}")
# Bytes of each hash that a certificate may be checked with (RFC 8122, section 5). MD5 and MD2 are
# in its list too, and must not be used.
_HASHES = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
_SEPARATORS = re.compile(r"[ \t,]+")  # RFC 8839 has spaces between ice-options, OBS a comma


@dataclass(frozen=True, slots=True)
class Bundles:
    """The BUNDLE groups of an offer.

    Attributes:
        groups: The number of the group of each a=mid that is in one, in the order of the groups;
            the first group counts.
        tagged: Of each group, its first section that says how to reach its transport.
    """

    groups: Mapping[str, int]
    tagged: Mapping[int, Section]

    @classmethod
    def of(cls, description: Description) -> Self:
        """Read the groups of a description."""
        groups: dict[str, int] = {}
        for index, value in enumerate(description.session.all("group")):
            semantics, *mids = value.split() or [""]
            if semantics.upper() == "BUNDLE":
                for mid in mids:
                    groups.setdefault(mid, index)
        sections = {each.mid: each for each in description.sections if not has_ended(each)}
        tagged: dict[int, Section] = {}
        for mid, group in groups.items():
            if mid in sections and "ice-ufrag" in sections[mid]:
                tagged.setdefault(group, sections[mid])
        return cls(groups, tagged)

    def group(self, section: Section) -> int | None:
        """The number of the section's group; None when it is in none."""
        return None if section.mid is None else self.groups.get(section.mid)

    def are_one(self, sections: Sequence[Section]) -> bool:
        """Whether all these sections are in the same group."""
        groups = {self.group(section) for section in sections}
        return len(groups) == 1 and None not in groups

    def speaker(self, used: Sequence[Section]) -> Section:
        """The section whose attributes hold for these, which have one transport.

        It is the first accepted one, in the group's order, that says how to reach its transport
        (RFC 9143, section 7.3.1); in later offers that may be said by a section which is not
        accepted. The first one of these when none does.
        """
        group = self.group(used[0])
        if group is None:
            return used[0]
        saying = [section for section in used if "ice-ufrag" in section]
        if len(saying) > 1:
            order = list(self.groups)
            saying.sort(key=lambda section: order.index(section.mid or ""))
        return saying[0] if saying else self.tagged.get(group, used[0])


def has_ended(section: Section) -> bool:
    """Whether port 0 says that the section is not, or no longer, offered.

    With a=bundle-only it says that its port is that of its group (RFC 9143, section 6).
    """
    return section.port == 0 and "bundle-only" not in section.own


def read_transport(section: Section, preferred: DtlsRole) -> TransportPlan:
    """What the section says of its transport.

    Args:
        section: The section, or the tagged one of its group.
        preferred: Our role in the handshake where the client leaves the choice.

    Raises:
        OfferError: Something that a transport needs is missing.
    """
    where = f"the offer's section {section.kind}"
    ufrag, password = section.first("ice-ufrag") or "", section.first("ice-pwd") or ""
    check_credentials(ufrag, password, where)
    return TransportPlan(
        ufrag=ufrag,
        password=password,
        fingerprints=_fingerprints(section, where),
        role=_role(section, where, preferred),
        sped=any("sped" in token.lower() for token in _ice_options(section)),
    )


def check_credentials(ufrag: str, password: str, where: str) -> None:
    """Check a client's ICE credentials (RFC 8839, section 5.4).

    Args:
        ufrag: What it calls itself.
        password: Its password.
        where: What says so, for the error.

    Raises:
        OfferError: One of them is none.
    """
    if not _UFRAG.fullmatch(ufrag):
        raise OfferError(
            f"{where} has no valid a=ice-ufrag: 4 to 256 letters, digits, +, /, =, #, - and _"
        )
    if not _PASSWORD.fullmatch(password):
        raise OfferError(
            f"{where} has no valid a=ice-pwd: 22 to 256 letters, digits, +, /, =, #, - and _"
        )


def _fingerprints(section: Section, where: str) -> tuple[Fingerprint, ...]:
    values = section.all("fingerprint")
    if len(values) > MAX_FINGERPRINTS:
        raise OfferError(f"{where} has more than {MAX_FINGERPRINTS} of a=fingerprint")
    usable = dict.fromkeys(each for each in map(_fingerprint, values) if each is not None)
    if not usable:
        raise OfferError(
            f"{where} has no usable a=fingerprint: it needs one of {', '.join(_HASHES)}, "
            "because media is encrypted with DTLS only"
        )
    return tuple(usable)


def _fingerprint(value: str) -> Fingerprint | None:
    algorithm, _, digest = value.partition(" ")
    algorithm, digest = algorithm.lower(), digest.strip().upper()
    if len(digest) != 3 * _HASHES.get(algorithm, 0) - 1 or not _HEX.fullmatch(digest):
        return None
    return Fingerprint(algorithm, digest)


def _role(section: Section, where: str, preferred: DtlsRole) -> DtlsRole:
    """What we are; without a=setup the client is active (RFC 4145, section 4)."""
    match (section.first("setup") or "active").lower():
        case "actpass":
            return preferred
        case "active":
            return DtlsRole.SERVER
        case "passive":
            return DtlsRole.CLIENT
        case other:
            raise OfferError(
                f"{where} needs a=setup actpass, active or passive, not {shown(other)}"
            )


def _ice_options(section: Section) -> list[str]:
    levels = (*section.own.all("ice-options"), *section.session.all("ice-options"))
    return [token for value in levels for token in _SEPARATORS.split(value)]
