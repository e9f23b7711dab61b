"""What an offer and its answer have agreed on, in the words of the session. Plain data.

`transceiver.sdp` makes it, `transceiver.media` and the call work by it: neither of them sees SDP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Codec(Enum):
    """An audio codec; the value is its encoding name in SDP."""

    OPUS = "opus"
    PCMU = "PCMU"
    PCMA = "PCMA"


class DtlsRole(Enum):
    """What we are in the DTLS handshake; the value is what the answer's a=setup says."""

    CLIENT = "active"
    SERVER = "passive"


class Fingerprint(NamedTuple):
    """A certificate's fingerprint (RFC 8122).

    Attributes:
        algorithm: Of the hash, in small letters, such as ``sha-256``.
        value: Upper-case hexadecimal bytes, joined by colons.
    """

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Format:
    """A codec with a payload type of the offer.

    Attributes:
        codec: The codec.
        payload_type: The number in RTP, as the offer has it.
        parameters: What the offer's a=fmtp says, names in small letters: how the client wants to
            receive it.
    """

    codec: Codec
    payload_type: int
    parameters: Mapping[str, str] = field(default_factory=dict)


class Redundancy(NamedTuple):
    """Packets that carry the frames before once more (RFC 2198).

    Attributes:
        payload_type: Of such packets.
        of: Of the codec in them, which is one of the plan's.
        preferred: Whether the client would rather send these than its codec alone.
    """

    payload_type: int
    of: int
    preferred: bool


class Credentials(NamedTuple):
    """What one side of an ICE session authenticates checks with.

    Attributes:
        ufrag: Its username fragment, 4 to 256 ICE characters.
        password: Its short-term password, at least 22 ICE characters.
    """

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class TransportPlan:
    """One ICE and DTLS transport.

    Attributes:
        ufrag: The client's; other credentials in a later offer are an ICE restart.
        password: The client's.
        fingerprints: The client's certificate must match one of them.
        role: What we are in the handshake.
        sped: Whether the client said that it carries DTLS in STUN; a client that did not say so
            may do it as well.
    """

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    role: DtlsRole
    sped: bool = False

    @property
    def client(self) -> Credentials:
        """The client's credentials."""
        return Credentials(self.ufrag, self.password)


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """The one audio section that is used.

    Attributes:
        mid: Its a=mid, or None.
        transport: Index of its transport.
        formats: Codecs that both have, the preferred one first; all may be received, the first is
            sent.
        events: Payload types of telephone-event (RFC 4733), by clock rate.
        extensions: Ids of RTP header extensions in use (RFC 8285), by URI.
        feedback: Of ``nack``, ``transport-cc``, ``goog-remb``: what the client takes and sends.
        receive: Whether the client sends.
        send: Whether the client wants to receive.
        ptime: Milliseconds of a packet that the client wants (a=ptime), None when it says nothing.
        reduced_rtcp: Whether the client takes reduced-size RTCP (RFC 5506).
        section: Its place among the sections of the offer, from 0.
        unsent: Of `extensions`, those that the client sends and does not take.
        noise: The payload type of comfort noise (RFC 3389), beside G.711; None without.
        redundancy: How packets carry earlier frames; None where they do not.
    """

    mid: str | None
    transport: int
    formats: tuple[Format, ...]
    events: Mapping[int, int]
    extensions: Mapping[str, int]
    feedback: frozenset[str]
    receive: bool
    send: bool
    ptime: int | None = None
    reduced_rtcp: bool = False
    section: int = 0
    unsent: frozenset[str] = frozenset()
    noise: int | None = None
    redundancy: Redundancy | None = None


@dataclass(frozen=True, slots=True)
class DataPlan:
    """The section of data channels.

    Attributes:
        mid: Its a=mid, or None.
        transport: Index of its transport.
        port: The client's SCTP port.
        max_message_size: Bytes that the client takes in one message; 0 means any size.
        sctp_init: The client's whole INIT chunk (SNAP), None when the offer has none.
        section: Its place among the sections of the offer, from 0.
    """

    mid: str | None
    transport: int
    port: int
    max_message_size: int
    sctp_init: bytes | None = None
    section: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an offer and its answer have agreed on.

    Attributes:
        transports: At least one; only one when the sections are bundled. An index names the same
            transport in all plans of a call: one that no section uses any more stays at its place.
        audio: None when the offer has no usable audio.
        data: None when it has no data channels.
        sections: How many the offer has; a later offer has as many or more.
    """

    transports: tuple[TransportPlan, ...]
    audio: AudioPlan | None
    data: DataPlan | None
    sections: int = 1
