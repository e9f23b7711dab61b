"""Resume tokens: who shows one soon after his call was lost goes on with the conversation. Pure.

Each call's answer has a token in the header `HEADER`; the next call shows it in the same one, and
gets another. The back end, which keeps the conversation, never sees a token, but a name that is
made of it and of the principal: so nobody else's key makes anything of a token, no server keeps a
table of them, and any signaling server takes those of any other.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from signaling.errors import ApiError

HEADER = "Icelane-Resume"
TOKEN_BYTES = 32
_DOMAIN = b"icelane resume\0"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a call.

    Attributes:
        shown: The one of the call that it goes on with; None where it begins anew.
        own: Its own; None where its client could not get it.
    """

    shown: str | None = field(default=None, repr=False)
    own: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, headers: Mapping[str, str], randomness: bytes) -> "Tokens":
        """Those of a request.

        Args:
            headers: The request's.
            randomness: `TOKEN_BYTES`, of which its own token is made.

        Raises:
            ApiError: It shows what is no token.
        """
        shown = headers.get(HEADER)
        if shown is not None and _TOKEN.fullmatch(shown) is None:
            raise ApiError(
                400,
                "invalid_value",
                f"{HEADER} is what the answer to an earlier call had in this header.",
                param=HEADER,
            )
        return cls(shown, _spelt(randomness))


NO_TOKENS = Tokens()


def name_of(token: str | None, principal: str | None) -> str | None:
    """The name under which the back end keeps a conversation; None where there is no token.

    Args:
        token: The call's token.
        principal: Who may go on with it; None where nobody has a name.
    """
    if token is None:
        return None
    whose = b"-" if principal is None else b"+" + principal.encode("utf-8", "surrogatepass")
    return _spelt(hashlib.sha256(_DOMAIN + token.encode("ascii") + b"\0" + whose).digest())


def _spelt(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
