"""The signaling server: clients offer over HTTP, a transceiver answers, the relay is advertised."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib import resources
from random import Random
from typing import Self

from aiohttp import web

from relay.config.registry import Registry
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from signaling.callid import CALLS
from signaling.errors import (
    ApiError,
    NoTransceiverError,
    OfferRejectedError,
    SessionNotFoundError,
    UnreachableError,
)
from signaling.offer import ACCEPTED_TYPES, MAX_BODY, read_offer, too_large
from signaling.pool import PoolConfig, TransceiverPool

#: Seconds that a client may take to send its request's body.
_BODY_TIMEOUT = 10.0
# What the SDKs of the Realtime API send and read; no cookies, so that any origin is harmless.
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location",
}
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-OpenAI-Agents-SDK",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": ACCEPTED_TYPES,
}
# The page is one file: nothing is loaded, from here or elsewhere, and nobody may frame it.
_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; media-src blob: mediastream:; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# The statistics of a session that clients get; the others expose internal addresses.
_PUBLIC_STATISTICS = ("state", "client", "rtp", "setup_seconds", "age_seconds")

_log = logging.getLogger(__name__)


class SignalingServer:
    """Serves the call routes and the page while its context is entered.

    Args:
        listen: Where to listen; port 0 takes any.
        registry: The transceivers to place calls on and the relays to advertise.
        random: The source of randomness of placement.
        pool: Intervals and time-outs of requests to transceivers.

    Raises:
        BindError: On entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: Endpoint,
        registry: Registry,
        *,
        random: Random,
        pool: PoolConfig | None = None,
    ) -> None:
        self._listen = listen
        self._candidates = registry.candidates
        self._pool = TransceiverPool(
            registry.transceivers, random=random, config=pool or PoolConfig()
        )
        self._page = resources.files("signaling").joinpath("page.html").read_text("utf-8")
        self._stack = contextlib.AsyncExitStack()
        self._address = listen

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._pool)
            self._address = await stack.enter_async_context(
                serve_http(self._application(), self._listen, "signaling")
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """The base URL, with the port that was taken."""
        return f"http://{self._address}"

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY, middlewares=[_answer_errors])
        application.on_response_prepare.append(_add_headers)
        application.add_routes(
            [
                web.get("/", self._show_page),
                web.get("/healthz", self._health),
                web.post(CALLS, self._call),
                web.post(CALLS + "/{call_id}/hangup", self._hang_up),
                web.options(CALLS, _preflight),
                web.options(CALLS + "/{call_id}/hangup", _preflight),
            ]
        )
        return application

    async def _show_page(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=_PAGE_HEADERS)

    async def _health(self, _: web.Request) -> web.Response:
        """Liveness of this server, whatever the state of the transceivers."""
        pool = self._pool
        return web.json_response(
            {
                "status": "ok",
                "transceivers": {
                    "registered": pool.size,
                    "reachable": pool.reachable,
                    "with_room": pool.with_room,
                },
            }
        )

    async def _call(self, request: web.Request) -> web.Response:
        started = time.monotonic()
        offer = await _read_in_time(request)
        try:
            call = await self._pool.place(offer, self._candidates)
        except OfferRejectedError as error:
            raise ApiError(400, error.code, str(error), param="sdp") from None
        except NoTransceiverError as error:
            raise ApiError(
                503,
                "no_transceiver",
                f"The call cannot be placed now: {error}.",
                headers={"Retry-After": str(error.retry_after)},
            ) from None
        _log.info("call %s placed in %.0f ms", call.id, (time.monotonic() - started) * 1000)
        return web.Response(
            status=HTTPStatus.CREATED,
            body=call.answer.encode(),  # as bytes: SDP's media type has no charset (RFC 8866)
            content_type="application/sdp",
            headers={"Location": f"{CALLS}/{call.id}"},
        )

    async def _hang_up(self, request: web.Request) -> web.Response:
        call_id = request.match_info["call_id"]
        try:
            statistics = await self._pool.hang_up(call_id)
        except SessionNotFoundError:
            raise ApiError(
                404, "call_not_found", "There is no such call, or it has ended.", param="call_id"
            ) from None
        except UnreachableError as error:
            _log.warning("hang-up failed: %s", error)
            raise ApiError(
                503,
                "transceiver_unreachable",
                "The call's transceiver does not answer now.",
                headers={"Retry-After": "2"},
            ) from None
        shown = {name: statistics[name] for name in _PUBLIC_STATISTICS if name in statistics}
        return web.json_response({"id": call_id, **shown})


async def _read_in_time(request: web.Request) -> str:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return await read_offer(request)
    except TimeoutError:
        raise ApiError(
            408, "request_timeout", f"The body did not arrive within {_BODY_TIMEOUT:.0f} s."
        ) from None


async def _preflight(_: web.Request) -> web.Response:
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT_HEADERS)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_CORS_HEADERS)
    response.headers["Server"] = "icelane"


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every error the format of the API, those of aiohttp included."""
    try:
        return await handler(request)
    except ApiError as error:
        return _error_response(error)
    except web.HTTPRequestEntityTooLarge:
        return _error_response(too_large())
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.path} takes {allowed}, not {request.method}."
        return _error_response(
            ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})
        )
    except web.HTTPNotFound:
        return _error_response(
            ApiError(404, "not_found", f"There is nothing at {request.path}; see {CALLS}.")
        )


def _error_response(error: ApiError) -> web.Response:
    return web.json_response(error.body, status=error.status, headers=error.headers)
