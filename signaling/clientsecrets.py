"""The route that makes client secrets, for browsers and apps that must not have an API key."""

import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import hdrs, web

from signaling.auth.clientsecret import (
    DEFAULT_LIFE,
    LEAST_LIFE,
    LONGEST_LIFE,
    NONCE_BYTES,
    ClientSecret,
    Signer,
)
from signaling.auth.gate import caller_of
from signaling.errors import ApiError, SecretTooLongError
from signaling.offer import read_body, read_json
from signaling.routes import Access, Route
from signaling.session import Setup, check_session

CLIENT_SECRETS = "/v1/realtime/client_secrets"
#: What OpenAI calls the session of a type.
_OBJECTS = {"realtime": "realtime.session", "transcription": "realtime.transcription_session"}


class ClientSecretRoutes:
    """Client secrets, as the Realtime API has them.

    Args:
        signer: The signer of client secrets now.
        wall: Seconds since 1970.
        random: A number of random bytes.
    """

    def __init__(
        self,
        signer: Callable[[], Signer],
        *,
        wall: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._signer = signer
        self._wall = wall
        self._random = random

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_POST, CLIENT_SECRETS, self._create, Access.KEY)]

    async def _create(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        raw = await read_body(request)
        document = read_json(raw, None) if raw.strip() else {}
        if not isinstance(document, dict):
            raise ApiError(400, "invalid_json", "The body must be a JSON object.")
        life = _life(document.get("expires_after"))
        session = check_session(document.get("session", {"type": "realtime"}), typed=True) or {}
        caller.setup(Setup(session, session.get("model")))  # refused now rather than at the call
        secret = ClientSecret(int(self._wall()) + life, caller.principal, session)
        try:
            value = self._signer().sign(secret, self._random(NONCE_BYTES))
        except SecretTooLongError as error:
            raise ApiError(
                413,
                "session_too_large",
                f"This cannot be put into a client secret: {error}. Send instructions and tools "
                "with the call or in session.update.",
                param="session",
            ) from None
        return web.json_response(_answer(value, secret))


def _answer(value: str, secret: ClientSecret) -> dict[str, Any]:
    session = {
        "id": f"sess_{secrets.token_urlsafe(15)}",
        "object": _OBJECTS[secret.session["type"]],
        **secret.session,
    }
    return {"value": value, "expires_at": secret.expires, "session": session}


def _life(wanted: Any) -> int:
    """Seconds that a secret is to live."""
    if wanted is None:
        return DEFAULT_LIFE
    if not isinstance(wanted, dict):
        raise _invalid("expires_after must be an object.", "expires_after")
    if wanted.get("anchor", "created_at") != "created_at":
        raise _invalid("The anchor is created_at.", "expires_after.anchor")
    seconds = wanted.get("seconds", DEFAULT_LIFE)
    if type(seconds) is not int or not LEAST_LIFE <= seconds <= LONGEST_LIFE:
        raise _invalid(
            f"A client secret may live for {LEAST_LIFE} to {LONGEST_LIFE} seconds.",
            "expires_after.seconds",
        )
    return seconds


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(400, "invalid_value", message, param=param)
