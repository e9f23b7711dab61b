"""What can be wrong with a packet, a token or a key file.

ConfigError
└── KeyFileError           local: a key file
WireError
├── EndpointError          local: the text of an address in a setting
└── MessageError           remote: something that came from the network
    ├── StunError          not a STUN message of RFC 8489
    │   └── IntegrityError MESSAGE-INTEGRITY or FINGERPRINT is missing or wrong
    ├── RouteError         a ufrag that is no route of ours
    │   ├── RouteFormatError   wrong length, alphabet or version
    │   ├── RouteKeyError      its key slot holds no key
    │   └── RouteTagError      its tag does not verify
    ├── FramingError       not a stream of framed datagrams
    ├── IcmpError          not an ICMP error about a relayed packet
    ├── AnnouncementError  not an announcement of one of our relays
    ├── GoodbyeError       not a goodbye of one of our transceivers
    └── QuestionError      not a question of one of our relays, nor an answer to it

Each is a `ValueError` whose text names the fault. A remote error never carries key material.
"""

from relay.errors import ConfigError, WireError


class EndpointError(WireError):
    """A text is not a transport address."""


class KeyFileError(ConfigError):
    """A key file cannot be read or used; the text says what to do."""


class MessageError(WireError):
    """A datagram or token from the network is malformed, forged or unknown."""


class StunError(MessageError):
    """A datagram is not a valid STUN message (RFC 8489)."""


class IntegrityError(StunError):
    """MESSAGE-INTEGRITY or FINGERPRINT is missing or wrong (RFC 8489 sections 14.5 and 14.7)."""


class RouteError(MessageError):
    """A ufrag is no route of this deployment."""


class RouteFormatError(RouteError):
    """The text is not 28 ICE characters, or the version is unknown."""


class RouteKeyError(RouteError):
    """The route names a key slot without a key."""


class RouteTagError(RouteError):
    """The route's tag does not verify: it was forged or damaged."""


class FramingError(MessageError):
    """A stream is not one of framed datagrams (RFC 4571)."""


class IcmpError(MessageError):
    """The message is malformed, or not an error about a UDP packet that can be translated."""


class AnnouncementError(MessageError):
    """A datagram is not an announcement of one of our relays."""


class GoodbyeError(MessageError):
    """A datagram is not a goodbye of one of our transceivers."""


class QuestionError(MessageError):
    """A datagram is no question of one of our relays, and no answer of one of our transceivers."""
