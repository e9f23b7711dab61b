"""What relay.wire makes of a datagram, in the words of the BPF program's counters."""

from base64 import b64decode

from relay.wire.announcement import SIZE, is_announcement
from relay.wire.demux import Kind, classify
from relay.wire.errors import RouteFormatError, RouteKeyError, RouteTagError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import VERSION, decode, open_raw, open_ufrag
from relay.wire.stun import BINDING, MessageClass, header, server_ufrag

ROUTED, NO_ROUTE, FORGED = "stun_routed", "stun_no_route", "stun_forged"
UNKNOWN_KEY, MALFORMED = "stun_unknown_key", "stun_malformed"
REMOTE, ANNOUNCED = "stun_remote", "edge_announced"
# A cluster that is elsewhere, as the program was told.
ELSEWHERE = 9
_ROUTE = slice(68, 89)  # where an announcement has it


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
            return announcement_verdict(payload, keys, cluster)
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
        found = UNKNOWN_KEY
    except RouteTagError:
        found = FORGED
    else:
        found = ROUTED
    return _of_cluster(found, decode(b64decode(ufrag)).target.cluster, cluster)


def announcement_verdict(payload: bytes, keys: KeyRing, cluster: int) -> str:
    """The same for a datagram of no protocol of RFC 7983: perhaps an edge's announcement."""
    if len(payload) != SIZE or not is_announcement(payload):
        return "not_webrtc"
    raw = payload[_ROUTE]
    if raw[0] >> 6 != VERSION:
        return "not_webrtc"
    if decode(raw).cluster != cluster:
        return UNKNOWN_KEY
    try:
        open_raw(raw, keys)
    except RouteKeyError:
        return UNKNOWN_KEY
    except RouteTagError:
        return FORGED
    return ANNOUNCED


def _of_cluster(found: str, named: int, cluster: int) -> str:
    """What is found of a route that names a cluster, where keys of one cluster are known."""
    if named == ELSEWHERE:
        return REMOTE
    return found if named == cluster else UNKNOWN_KEY
