"""How a session of a service outlives its connection: two headers of the WebSocket's handshake.

Whoever connects says under which name the session is to be kept if the connection breaks (`KEEP`),
and which one that was kept it goes on with (`RESUME`). Services that know neither ignore both. A
name says who may go on with a session, so nobody must be able to guess it.
"""

import re

KEEP, RESUME = "Icelane-Keep", "Icelane-Resume"
#: The code of the close (RFC 6455, section 7.4.2) that tells a connection that its session goes on
#: in another one.
GOES_ON_ELSEWHERE = 4001
#: Seconds that a session is kept.
SECONDS = 30.0

_NAME = re.compile(r"[A-Za-z0-9_-]{43,128}")  # 256 bits in base64url, or more


def is_name(text: object) -> bool:
    """Whether a text can be the name of a session that is kept."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None
