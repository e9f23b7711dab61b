"""What all answers have in common: their headers, and the format of errors."""

import contextlib
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from signaling.auth.credentials import REALTIME
from signaling.callid import CALLS
from signaling.errors import ApiError
from signaling.offer import too_large
from signaling.resume import HEADER as RESUME
from signaling.websockets import REALTIME as SOCKETS

# There are no cookies, so any origin is harmless.
_EXPOSED = ("Location", "Link", "ETag", "Accept-Patch", "Retry-After", RESUME)
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": ", ".join(_EXPOSED),
    "Server": "icelane",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# What an answer may say better itself. An answer of the API is no document: nothing in it runs,
# nobody frames it, and nobody keeps what may be a secret.
_DEFAULTS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

# How OpenAI closes WebSockets that it refuses, after an event that says why.
_UNAUTHORIZED, _BAD_REQUEST = 3000, 4000
_FAREWELL = 1.0  # seconds for the client to close it, too


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that all have; a signal handler of aiohttp."""
    response.headers.update(_HEADERS)
    for name, value in _DEFAULTS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every error the format of the API, those of aiohttp included."""
    try:
        return await handler(request)
    except ApiError as error:
        socket = web.WebSocketResponse(protocols=(REALTIME,), timeout=_FAREWELL)
        is_for_sockets = request.method == hdrs.METH_GET and request.path == SOCKETS
        nothing_said = request.writer.output_size == 0
        if is_for_sockets and nothing_said and socket.can_prepare(request):
            return await _refuse(socket, request, error)
        return error_response(error)
    except web.HTTPRequestEntityTooLarge:
        return error_response(too_large())
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.path} takes {allowed}, not {request.method}."
        return error_response(
            ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})
        )
    except web.HTTPNotFound:
        return error_response(
            ApiError(404, "not_found", f"There is nothing at {request.path}; see {CALLS}.")
        )


async def _refuse(
    socket: web.WebSocketResponse, request: web.Request, error: ApiError
) -> web.StreamResponse:
    """Tell who wants a WebSocket of an error where he can see it: browsers hide HTTP's from him."""
    await socket.prepare(request)
    told: dict[str, str | None] = {**error.body["error"], "event_id": None}
    event_id = f"event_{secrets.token_hex(10)}"
    with contextlib.suppress(ConnectionError):
        await socket.send_json({"type": "error", "event_id": event_id, "error": told})
        code = _UNAUTHORIZED if error.status in (401, 403) else _BAD_REQUEST
        await socket.close(code=code, message=f"{told['type']}.{told['code']}".encode())
    return socket


def response_to_no_request(status: int, message: str) -> web.Response:
    """The answer to what never reached a route, or broke there."""
    code = "server_error" if status >= 500 else "bad_request"
    return error_response(ApiError(status, code, message))


def error_response(error: ApiError) -> web.Response:
    """The answer that tells an error."""
    return web.json_response(error.body, status=error.status, headers=error.headers)
