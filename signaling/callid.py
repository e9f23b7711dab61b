"""Call ids, which contain the transceiver of the call.

A call id, as clients see it, is the transceiver's own session id with the transceiver in front:
``rtc_1-5-0-Kc9...`` is session ``rtc_Kc9...`` of generation 0 of slot 5 in cluster 1. So any
signaling server, also one that has just been restarted, finds the transceiver of a call without
a table of calls. The random part is the transceiver's.
"""

import re

from relay.wire.route import Target

#: The route that creates calls; a call's own URL is this, a slash and its id.
CALLS = "/v1/realtime/calls"

_PREFIX = "rtc_"
_TAIL = r"[A-Za-z0-9_-]{1,128}"
_SESSION = re.compile(_PREFIX + _TAIL)
_CALL = re.compile(rf"{_PREFIX}(\d{{1,5}})-(\d{{1,8}})-(\d{{1,3}})-({_TAIL})", re.ASCII)


def is_session_id(text: str) -> bool:
    """Whether a text has the format of a transceiver's session ids."""
    return _SESSION.fullmatch(text) is not None


def join_call_id(target: Target, session_id: str) -> str:
    """Make the id of a call.

    Args:
        target: The transceiver that has the session.
        session_id: The transceiver's id of it, for which `is_session_id` holds.
    """
    tail = session_id.removeprefix(_PREFIX)
    return f"{_PREFIX}{target.cluster}-{target.slot}-{target.generation}-{tail}"


def split_call_id(call_id: str) -> tuple[Target, str] | None:
    """The transceiver and session id in a call id; None if it is malformed."""
    match = _CALL.fullmatch(call_id)
    if match is None:
        return None
    cluster, slot, generation, tail = match.groups()
    return Target(int(cluster), int(slot), int(generation)), _PREFIX + tail
