"""Signatures of webhooks, by Standard Webhooks: who has the secret knows that we sent one. Pure.

`webhook-signature` is HMAC-SHA-256 over id, time and body, joined by dots, for each of the secrets:
so a receiver that has the old one or the new one takes it while they are changed. The OpenAI API
signs its webhooks so, and its packages verify them.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

from relay.errors import ConfigError

PREFIX = "whsec_"
LEAST, MOST = 24, 64  # bytes of a secret, as Standard Webhooks has them
_REMEDY = 'write one with `echo "whsec_$(openssl rand -base64 32)"`'


def read_secrets(text: str, where: str) -> tuple[bytes, ...]:
    """Read secrets: one in each line, of which all sign.

    Args:
        text: ``whsec_`` and base64, in each line.
        where: What the text is, for errors.

    Raises:
        ConfigError: There is none, or one is none.
    """
    secrets = tuple(_secret(line) for line in text.split())
    if not secrets or not all(LEAST <= len(each) <= MOST for each in secrets):
        raise ConfigError(
            f"{where} needs lines of {PREFIX} and base64 of {LEAST} to {MOST} bytes: {_REMEDY}"
        )
    return secrets


def signed(
    secrets: tuple[bytes, ...], webhook_id: str, now: float, body: bytes
) -> Mapping[str, str]:
    """The headers that sign a webhook.

    Args:
        secrets: The secrets.
        webhook_id: The same for each attempt to deliver it.
        now: Seconds since 1970.
        body: What is sent.
    """
    at = str(int(now))
    said = f"{webhook_id}.{at}.".encode() + body
    tags = (base64.b64encode(hmac.digest(each, said, "sha256")).decode() for each in secrets)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{tag}" for tag in tags),
    }


def _secret(line: str) -> bytes:
    if not line.startswith(PREFIX):
        return b""
    try:
        return base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
