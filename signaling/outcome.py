"""What a request came to, for middlewares that count or trace requests."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from signaling.errors import ApiError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GONE = 499  # of a client that has not waited, as proxies log it


async def tell_outcome(
    request: web.Request, handler: Handler, tell: Callable[[int, str | None], None]
) -> web.StreamResponse:
    """Have a request handled, and tell what it came to, in front of whoever answers errors.

    Args:
        request: The request.
        handler: Handles it; what it raises goes on to the caller.
        tell: Is told the status of the answer, and for an error its code. It is 499 of a client
            that has gone, and 500 of a handler that failed.
    """
    status, code = int(HTTPStatus.INTERNAL_SERVER_ERROR), None
    try:
        response = await handler(request)
        status = response.status
    except asyncio.CancelledError:
        status = _GONE
        raise
    except ApiError as error:
        status, code = error.status, error.code
        raise
    except web.HTTPException as error:  # a redirection, too
        status = error.status
        code = HTTPStatus(status).name.lower() if status >= HTTPStatus.BAD_REQUEST else None
        raise
    finally:
        tell(status, code)
    return response
