"""The gate before the routes: who calls is known before anything is read or done for him.

An instance with a file of API keys lets in who has one of them, or a client secret that was made
with one. Without a file it is open: everybody may call, and whatever key he sends is ignored, for
SDKs insist on sending one. A client secret is held against its signature even then: a session is
bound to it.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import HttpVersion11, web

from signaling.auth import clientsecret
from signaling.auth.apikeys import ApiKey, ApiKeys
from signaling.auth.clientsecret import Signer
from signaling.auth.credentials import credential, websocket_credential
from signaling.auth.limits import Failures, Quotas
from signaling.client import Origin
from signaling.errors import ApiError, QuotaError, TokenError
from signaling.routes import Access, Handler, Route
from signaling.session import Setup, choose_model

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="icelane"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes:
        origin: Where he is.
        key: His API key, or the one that his client secret was made with; None where nobody
            needs one.
        session: The session that his client secret stands for; None where he has none.
    """

    origin: Origin
    key: ApiKey | None = None
    session: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def principal(self) -> str | None:
        """His name, if he has one."""
        return self.key.name if self.key else None

    def setup(self, asked: Setup) -> Setup:
        """How his call begins: as he asks, within what his secret and his key allow.

        Raises:
            ApiError: His key may not use the model that he asks for.
        """
        bound = asked.under(self.session)
        model = choose_model(bound.model, self.key.models if self.key else ())
        return Setup(bound.session, model, self.principal, region=self.origin.region)


_CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Who makes a request that has passed the gate."""
    return request[_CALLER]


class Gate:
    """Lets requests pass, or not.

    Args:
        keys: The API keys that there are now; None where everybody may call.
        signer: The signer of client secrets now.
        origin: Where a request comes from.
        quotas: What principals have done.
        monotonic: Seconds of a monotonic clock.
        wall: Seconds since 1970.
    """

    def __init__(
        self,
        keys: Callable[[], ApiKeys | None],
        signer: Callable[[], Signer],
        origin: Callable[[web.BaseRequest], Origin],
        quotas: Quotas,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._signer = signer
        self._origin = origin
        self._quotas = quotas
        self._monotonic = monotonic
        self._wall = wall
        self._failures = Failures(monotonic())

    def guard(self, route: Route) -> Handler:
        """The handler of a route behind the gate."""
        if route.access is Access.ANYBODY:
            return route.handler

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = self.admit(request, route.access)
            self._count(caller, route)
            request[_CALLER] = caller
            await _ask_for_body(request)
            try:
                return await route.handler(request)
            except (ApiError, web.HTTPRequestEntityTooLarge) as error:
                if caller.key is None and 400 <= error.status < 500:
                    self._failures.note(caller.origin.client, self._monotonic())
                raise

        return guarded

    def _count(self, caller: Caller, route: Route) -> None:
        """Hold a request against the quota of its principal, before it is read."""
        if caller.key is None:
            return
        name, quota, now = caller.key.name, caller.key.quota, self._monotonic()
        with told_of_quota():
            self._quotas.ask(name, quota, now)
            if route.begins_call:
                self._quotas.begin(name, quota, now)

    def admit(self, request: web.Request, access: Access) -> Caller:
        """Who makes a request.

        Raises:
            ApiError: He may not: 401, 403, or 429 while he is not listened to.
        """
        origin, presented = self._origin(request), _presented(request)
        try:
            caller = self._caller(origin, presented, access)
        except ApiError:
            self._require_patience(origin.client)
            self._failures.note(origin.client, self._monotonic())
            raise
        if caller.key is None:
            self._require_patience(origin.client)
        return caller

    def _require_patience(self, client: str) -> None:
        if wait := self._failures.wait(client, self._monotonic()):
            raise ApiError(
                429,
                "rate_limit_exceeded",
                "Too many requests of this address were refused lately: wait, and see what they "
                "were told.",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    def _caller(self, origin: Origin, presented: str | None, access: Access) -> Caller:
        keys = self._keys()
        if presented is not None and presented.startswith(clientsecret.PREFIX):
            return self._holder(origin, presented, keys, access)
        if keys is None:
            return Caller(origin)
        if presented is None:
            raise _unauthorized(
                "No API key was sent. Send it as a header: `Authorization: Bearer KEY`."
            )
        key = keys.find(presented)
        if key is None:
            raise _unauthorized("This API key is not known here. Ask the operator for one.")
        if key.has_expired(self._wall()):
            raise _unauthorized("This API key has expired. Ask the operator for another one.")
        return Caller(origin, key)

    def _holder(
        self, origin: Origin, presented: str, keys: ApiKeys | None, access: Access
    ) -> Caller:
        """Who has a client secret; it lives no longer than the API key that it was made with."""
        now = self._wall()
        try:
            secret = self._signer().read(presented, now)
        except TokenError as error:
            raise _unauthorized(f"This client secret cannot be used: {error}.") from None
        key = keys.named(secret.principal or "") if keys is not None else None
        if keys is not None and (key is None or key.has_expired(now)):
            raise _unauthorized("The API key of this client secret is no longer valid.")
        if access is Access.KEY:
            raise ApiError(
                403, "insufficient_permissions", "This needs an API key, not a client secret."
            )
        return Caller(origin, key, secret.session)


@contextmanager
def told_of_quota() -> Iterator[None]:
    """Tell a client that his quota is used up.

    Raises:
        ApiError: For a `QuotaError`.
    """
    try:
        yield
    except QuotaError as error:
        raise ApiError(
            429,
            error.code,
            f"The quota of this API key is used up: {error}.",
            headers={"Retry-After": str(math.ceil(error.retry_after))},
        ) from None


async def hold_back(_: web.Request) -> None:
    """Let a client that asks before it sends its body (100-continue) wait for the gate's word."""


async def _ask_for_body(request: web.Request) -> None:
    asks = request.headers.get("Expect", "").lower() == "100-continue"
    if asks and request.version >= HttpVersion11:  # RFC 9110, section 10.1.1
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer itself there is nothing yet


def _presented(request: web.Request) -> str | None:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return credential(request.headers)
    protocols = request.headers.getall("Sec-WebSocket-Protocol", [])
    return websocket_credential(request.headers, protocols, request.query)


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "invalid_api_key", message, headers=dict(_CHALLENGE))
