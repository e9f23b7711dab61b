"""What can be done with a call of the Realtime API: to end it, and what is for telephones only."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from signaling.callid import CALLS
from signaling.errors import ApiError, CallBrokeError, SessionNotFoundError, UnreachableError
from signaling.pool import TransceiverPool
from signaling.routes import Access, Route

# The statistics of a session that clients get; the others expose internal addresses.
_PUBLIC_STATISTICS = ("state", "client", "rtp", "setup_seconds", "age_seconds")
#: For calls that come by SIP: none here ever waits to be taken, or has an address to be sent to.
OF_TELEPHONES = ("accept", "reject", "refer")

_log = logging.getLogger(__name__)


@contextmanager
def told_of_calls() -> Iterator[None]:
    """Tell a client why nothing can be done with a call.

    Raises:
        ApiError: For what a transceiver, or the pool, has said of the call.
    """
    try:
        yield
    except SessionNotFoundError:
        raise ApiError(
            404, "call_id_not_found", "There is no such call, or it has ended.", param="call_id"
        ) from None
    except (CallBrokeError, UnreachableError) as error:
        _log.warning("a call cannot be changed: %s", error)
        raise ApiError(
            503,
            "transceiver_unreachable",
            "The call's transceiver does not answer now; a call whose client is silent ends.",
            headers={"Retry-After": "2"},
        ) from None


class CallActionRoutes:
    """The routes of one call.

    Args:
        pool: Knows the calls' transceivers.
    """

    def __init__(self, pool: TransceiverPool) -> None:
        self._pool = pool

    def routes(self) -> Sequence[Route]:
        """The routes."""
        call = CALLS + "/{call_id}"
        return [
            Route(hdrs.METH_DELETE, call, self._end, Access.CALLER),
            Route(hdrs.METH_POST, f"{call}/hangup", self._hang_up, Access.CALLER),
            *(
                Route(hdrs.METH_POST, f"{call}/{action}", _is_of_telephones, Access.CALLER)
                for action in OF_TELEPHONES
            ),
        ]

    async def _hang_up(self, request: web.Request) -> web.Response:
        await self._ended(request)
        return web.Response(status=HTTPStatus.OK)

    async def _end(self, request: web.Request) -> web.Response:
        """The same, and what was counted: an extension of the API."""
        statistics = await self._ended(request)
        shown = {name: statistics[name] for name in _PUBLIC_STATISTICS if name in statistics}
        return web.json_response({"id": request.match_info["call_id"], **shown})

    async def _ended(self, request: web.Request) -> dict[str, Any]:
        with told_of_calls():
            kept = request.query.get("keep") == "true"
            return await self._pool.hang_up(request.match_info["call_id"], kept=kept)


async def _is_of_telephones(_: web.Request) -> web.Response:
    raise ApiError(
        404,
        "call_id_not_found",
        "No call here waits for that: it is for calls that come by SIP.",
        param="call_id",
    )
