"""What can be wrong on the RTP path.

    IcelaneError
    ├── WireError
    │   ├── RtpError           bytes are no RTP packet
    │   └── RtcpError          bytes are no RTCP packet
    └── TransceiverError
        ├── CodecError         a payload is not what its codec makes
        └── MissingCodecError  this machine has no library for a codec

The first three come from what a client sends: each costs the packet that it is about, no more.
"""

from relay.errors import TransceiverError, WireError


class RtpError(WireError):
    """Bytes are no RTP packet; the text says what is wrong with them."""


class RtcpError(WireError):
    """Bytes are no RTCP packet; the text says what is wrong with them."""


class CodecError(TransceiverError):
    """A payload is not what its codec makes: drop it, and treat its audio as lost."""


class MissingCodecError(TransceiverError):
    """This machine has no library for a codec; the text says how to get one."""
