"""What an operator may say of WHIP and WHEP, such as the ICE servers of Link headers. Pure.

Icelane needs no STUN or TURN: its relay has a public address, and takes TCP where UDP is blocked.
They are for clients whose network lets nothing but a TURN server of its own through.
"""

import re
from dataclasses import dataclass
from typing import Self

# RFC 7064 and 7065, with what a header may have (RFC 9110, section 5.6.4).
_URL = re.compile(r"(?:stuns?|turns?):[A-Za-z0-9._\-:\[\]]+(?:\?transport=(?:udp|tcp))?")
_TEXT = re.compile(r"[!#-\[\]-~]+")


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server.

    Attributes:
        url: Such as ``stun:stun.example.net:3478``.
        username: For TURN.
        credential: For TURN; every client learns it.
    """

    url: str
    username: str | None = None
    credential: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``URL`` or ``URL USERNAME CREDENTIAL``.

        Raises:
            ValueError: It is something else.
        """
        url, *rest = text.split() or [""]
        if not _URL.fullmatch(url) or len(rest) not in (0, 2):
            raise ValueError(
                "is no ICE server: write stun:HOST:PORT, or turn:HOST:PORT USERNAME CREDENTIAL"
            )
        if not all(map(_TEXT.fullmatch, rest)):
            raise ValueError("has a user name or credential with quotes or other than ASCII")
        return cls(url, *rest)

    def __str__(self) -> str:
        """It for people, without its credential."""
        return self.url if self.username is None else f"{self.url} {self.username} ..."

    @property
    def link(self) -> str:
        """The value of a Link header."""
        told = f'<{self.url}>; rel="ice-server"'
        if self.username is None:
            return told
        return (
            f'{told}; username="{self.username}"; credential="{self.credential}"; '
            'credential-type="password"'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WhipConfig:
    """What an operator may say of WHIP and WHEP.

    Attributes:
        strict: Whether a PATCH without If-Match is refused, as the RFC has it.
        ice_servers: What clients are told of in Link headers (RFC 9725, section 4.6).
    """

    strict: bool = True
    ice_servers: tuple[IceServer, ...] = ()
