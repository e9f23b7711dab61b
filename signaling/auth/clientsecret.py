"""Client secrets: short-lived tokens that stand for a principal and a session. Pure.

A server that has an API key makes one for a browser or an app, which calls with it. All that it
stands for is in it, signed: so any signaling server with the same secret takes it, and none keeps
a table. Who holds it can read the session in it, as he can in ``session.created``.

``ek_`` and base64url of: tag (32 bytes, HMAC-SHA-256 of the rest), then zlib of the JSON array
``[expires, principal, nonce, session]``. It has one spelling: none of its characters can be
another one.
"""

import base64
import binascii
import hmac
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.clocks import LEEWAY
from signaling.errors import SecretTooLongError, TokenError

PREFIX = "ek_"
#: Characters. It travels in a header, for which servers and proxies have 8 KB.
MAX_LENGTH = 7_680
#: Seconds that it may live (the schema of ``expires_after`` in OpenAI's API), and lives by itself.
LEAST_LIFE, LONGEST_LIFE, DEFAULT_LIFE = 10, 7200, 600
NONCE_BYTES = 12

_TAG = 32
_DOMAIN = b"icelane client secret\0"  # what else this key may sign some day is no secret
_MAX_INFLATED = 1 << 20  # bytes; a session has less


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What a client secret stands for.

    Attributes:
        expires: When it ends, in seconds since 1970.
        principal: Who made it; None where nobody has a name.
        session: The session of calls that are made with it.
    """

    expires: int
    principal: str | None
    session: dict[str, Any]


class Signer:
    """Makes and reads client secrets.

    Args:
        secrets: The server's secrets: the first one signs, and all are accepted.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets)

    def sign(self, secret: ClientSecret, nonce: bytes) -> str:
        """The text of a secret.

        Args:
            secret: What it stands for.
            nonce: `NONCE_BYTES` of randomness, so that no two are the same.

        Raises:
            SecretTooLongError: Its session does not fit.
        """
        fields = [secret.expires, secret.principal, nonce.hex(), secret.session]
        body = zlib.compress(json.dumps(fields, separators=(",", ":")).encode(), 9)
        text = PREFIX + _spelt(_tag(self._secrets[0], body) + body)
        if len(text) > MAX_LENGTH:
            raise SecretTooLongError(
                f"the session makes a client secret of {len(text)} characters, and {MAX_LENGTH} "
                "fit into a request's headers"
            )
        return text

    def read(self, text: str, now: float) -> ClientSecret:
        """What a secret stands for.

        Args:
            text: The secret.
            now: Seconds since 1970.

        Raises:
            TokenError: It is none of ours, or has expired more than `LEEWAY` ago.
        """
        raw = _unspelt(text)
        tag, body = raw[:_TAG], raw[_TAG:]
        genuine = [hmac.compare_digest(tag, _tag(each, body)) for each in self._secrets]
        if not any(genuine):
            raise TokenError("it was not made here, or by a server that has been restarted")
        unpacked = zlib.decompressobj().decompress(body, _MAX_INFLATED)
        expires, principal, _, session = json.loads(unpacked)
        # Another server may have made it, whose clock is ahead of this one's or behind.
        if expires + LEEWAY <= now:
            raise TokenError("it has expired")
        return ClientSecret(expires, principal, session)


def _tag(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, _DOMAIN + body, "sha256")


def _spelt(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _unspelt(text: str) -> bytes:
    """The bytes in a text; none of them where it is spelt as we never do."""
    written = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or len(text) > MAX_LENGTH or not written.isascii():
        return b""
    try:
        raw = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    return raw if _spelt(raw) == written else b""
