"""What relay.wire makes of a datagram, in the words of the BPF program's counters."""

from base64 import b64decode

from relay.wire.demux import Kind, classify
from relay.wire.errors import RouteFormatError, RouteKeyError, RouteTagError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import decode, open_ufrag
from relay.wire.stun import BINDING, MessageClass, header, server_ufrag

ROUTED, NO_ROUTE, FORGED = "stun_routed", "stun_no_route", "stun_forged"
UNKNOWN_KEY, MALFORMED = "stun_unknown_key", "stun_malformed"


def verdict(payload: bytes, keys: KeyRing, cluster: int) -> str:
    """The reason for a datagram that an unknown client sends to a VIP.

    Args:
        payload: The datagram.
        keys: The relay's keys.
        cluster: The only cluster that the program was given keys of.
    """
    match classify(payload):
        case Kind.DTLS | Kind.RTP:
            return "unknown_client"
        case Kind.OTHER:
            return "not_webrtc"
    try:
        head = header(payload)
    except StunError:
        return MALFORMED
    if (head.message_class, head.method) != (MessageClass.REQUEST, BINDING):
        return "stun_not_request"
    return request_verdict(payload, keys, cluster)


def request_verdict(payload: bytes, keys: KeyRing, cluster: int) -> str:
    """The same for a Binding request."""
    try:
        ufrag = server_ufrag(payload)
        open_ufrag(ufrag, keys)
    except (StunError, RouteFormatError):
        return NO_ROUTE
    except RouteKeyError:
        return UNKNOWN_KEY
    except RouteTagError:
        found = FORGED
    else:
        found = ROUTED
    return found if decode(b64decode(ufrag)).target.cluster == cluster else UNKNOWN_KEY
