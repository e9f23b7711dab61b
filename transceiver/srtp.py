"""SRTP with the keys of a DTLS handshake (RFC 5764), by libsrtp."""

from collections import OrderedDict
from typing import NamedTuple

import pylibsrtp
from pylibsrtp import Policy, Session

from transceiver.media.rtp import WINDOW

# Of the client. libsrtp keeps each for ever, and looks through all of them for each packet.
MAX_SOURCES = 32
_CLIENT, _SERVER = 0, 1  # whose keys come first in the keying material (RFC 5764, section 4.2)


class Profile(NamedTuple):
    """A protection profile (RFC 5764, section 4.1.2; RFC 7714, section 14.2).

    Attributes:
        name: As OpenSSL spells it.
        number: As libsrtp counts it.
        key: Bytes of a master key.
        salt: Bytes of a master salt.
    """

    name: bytes
    number: int
    key: int
    salt: int

    @property
    def keying_material(self) -> int:
        """Bytes that both directions need."""
        return 2 * (self.key + self.salt)


def _available(profiles: tuple[Profile, ...]) -> tuple[Profile, ...]:
    """Those that this libsrtp was built with: AES-GCM needs a library of its own."""
    found = []
    for profile in profiles:
        try:
            Policy(srtp_profile=profile.number)
        except pylibsrtp.Error:
            continue
        found.append(profile)
    return tuple(found)


#: The preferred one first.
PROFILES = _available(
    (
        Profile(b"SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
        Profile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
        Profile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    )
)


class Srtp:
    """Both directions of a transport.

    Args:
        profile: What the handshake has chosen.
        material: What it exports for that, of `Profile.keying_material` bytes.
        is_client: Whether we were its client.
    """

    def __init__(self, profile: Profile, material: bytes, *, is_client: bool) -> None:
        ours, theirs = (_CLIENT, _SERVER) if is_client else (_SERVER, _CLIENT)
        self._sending = _session(profile, material, ours, Policy.SSRC_ANY_OUTBOUND)
        self._receiving = _session(profile, material, theirs, Policy.SSRC_ANY_INBOUND)
        self._sources: OrderedDict[bytes, None] = OrderedDict()  # the one used last at the end
        self._newest = b""

    def protect(self, packet: bytes) -> bytes:
        """Encrypt an RTP packet; one that was sent before may be sent again as it was."""
        return bytes(self._sending.protect(packet))

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt an RTCP packet."""
        return bytes(self._sending.protect_rtcp(packet))

    def unprotect(self, packet: bytes) -> bytes | None:
        """Decrypt an RTP packet; None if it is not authentic, or came before."""
        try:
            clear = bytes(self._receiving.unprotect(packet))
        except (pylibsrtp.Error, ValueError):
            return None
        self._note(packet[8:12])
        return clear

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """Decrypt an RTCP packet; None if it is not authentic, or came before."""
        try:
            clear = bytes(self._receiving.unprotect_rtcp(packet))
        except (pylibsrtp.Error, ValueError):
            return None
        self._note(packet[4:8])
        return clear

    def _note(self, source: bytes) -> None:
        """Remember who has sent something, and let libsrtp forget who has not for long."""
        if source == self._newest:
            return
        self._newest = source
        self._sources[source] = None
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            oldest, _ = self._sources.popitem(last=False)
            self._receiving.remove_stream(int.from_bytes(oldest, "big"))


def _session(profile: Profile, material: bytes, side: int, ssrcs: int) -> Session:
    key = side * profile.key
    salt = 2 * profile.key + side * profile.salt
    policy = Policy(
        key=material[key : key + profile.key] + material[salt : salt + profile.salt],
        ssrc_type=ssrcs,
        srtp_profile=profile.number,
    )
    policy.allow_repeat_tx = True  # retransmissions answer NACK (RFC 4585)
    policy.window_size = WINDOW
    return Session(policy)
