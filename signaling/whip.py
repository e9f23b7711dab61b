"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): a call by offer and answer over plain HTTP.

Both are the same here. A client of WHIP offers to send and one of WHEP to receive, and the answer
is to what is offered: whoever offers both talks with the back end. An ICE session is named by the
server's ufrag, so that no table is kept here.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import CIMultiDict

from signaling.callactions import told_of_calls
from signaling.errors import ApiError, FragmentError, OfferRejectedError, StaleError
from signaling.fragment import read_fragment
from signaling.mediatype import require_type
from signaling.offer import check_offer, read_body
from signaling.pool import Call, TransceiverPool
from signaling.routes import Access, Route
from signaling.session import Setup, check_model
from signaling.whipconfig import WhipConfig

WHIP, WHEP = "/whip", "/whep"
_SDP, _FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
_UFRAG = "a=ice-ufrag:"
# One client sends its ETag under that name; the star never stands for Authorization (Fetch).
_ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, *"
_MAX_NAMES = 16  # of ICE sessions in If-Match
# The statuses of what a transceiver says of a fragment; 400 of all else.
_REFUSALS = {"not_bundled": 422, "too_many_restarts": 429}

_log = logging.getLogger(__name__)

Place = Callable[[web.Request, str, int | None, Setup], Awaitable[Call]]


class WhipRoutes:
    """WHIP, or WHEP.

    Args:
        path: The endpoint; its sessions are below it.
        pool: Knows the sessions' transceivers.
        place: Has an offer answered, for the client of a request.
        config: What an operator says of it.
    """

    def __init__(self, path: str, pool: TransceiverPool, place: Place, config: WhipConfig) -> None:
        self._path = path
        self._pool = pool
        self._place = place
        self._config = config

    def routes(self) -> Sequence[Route]:
        """The routes; the RFC keeps the other methods for later, so they are refused."""
        session = self._path + "/{call_id}"
        return [
            Route(hdrs.METH_POST, self._path, self._create, Access.CALLER, begins_call=True),
            Route(hdrs.METH_OPTIONS, self._path, self._options, Access.ANYBODY),
            Route(hdrs.METH_PATCH, session, self._patch, Access.CALLER),
            Route(hdrs.METH_DELETE, session, self._delete, Access.CALLER),
            Route(hdrs.METH_OPTIONS, session, self._options, Access.ANYBODY),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        if not body and self._path == WHEP:
            raise ApiError(
                406,
                "offer_needed",
                "This endpoint makes no offers: send one of your own, as application/sdp.",
            )
        require_type(request.headers, (_SDP,), "Accept-Post")
        asked = Setup(model=check_model(request.query.get("model")))
        call = await self._place(request, check_offer(body), None, asked)
        headers = self._headers()
        headers["Location"] = f"{self._path}/{call.id}"
        headers["ETag"] = _entity_tag(call.answer)
        return web.Response(
            status=HTTPStatus.CREATED,
            body=call.answer.encode(),  # as bytes: SDP's media type has no charset (RFC 8866)
            content_type=_SDP,
            headers=headers,
        )

    async def _patch(self, request: web.Request) -> web.Response:
        require_type(request.headers, (_FRAGMENT,), "Accept-Patch")
        match = self._precondition(request)
        try:
            credentials = read_fragment(await read_body(request))
        except FragmentError as error:
            raise ApiError(400, "invalid_fragment", f"This is no SDP fragment: {error}.") from None
        call_id = request.match_info["call_id"]
        try:
            with told_of_calls():
                control, session_id = self._pool.control_of(call_id)
                session = await control.restart(session_id, match, credentials)
        except StaleError:
            raise ApiError(
                412,
                "precondition_failed",
                "If-Match names an ICE session that is over: take the ETag of the last restart.",
            ) from None
        except OfferRejectedError as error:
            raise _refused(error) from None
        if session.fragment is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        _log.info("call %s restarts ICE", call_id)
        return web.Response(
            body=session.fragment.encode(),
            content_type=_FRAGMENT,
            headers={"ETag": f'"{session.name}"'},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        with told_of_calls():
            await self._pool.hang_up(request.match_info["call_id"])
        return web.Response(status=HTTPStatus.OK)

    async def _options(self, _: web.Request) -> web.Response:
        """What is taken here: pages of other origins ask, and clients that want ICE servers."""
        headers = self._headers()
        headers["Accept-Post"] = _SDP
        headers["Access-Control-Allow-Methods"] = "POST, PATCH, DELETE, OPTIONS"
        headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
        headers["Access-Control-Max-Age"] = "86400"
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)

    def _headers(self) -> "CIMultiDict[str]":
        headers = CIMultiDict({"Accept-Patch": _FRAGMENT})
        for server in self._config.ice_servers:
            headers.add("Link", server.link)
        return headers

    def _precondition(self, request: web.Request) -> list[str] | None:
        """The ICE sessions that a PATCH may be for; None for any."""
        if "If-Match" not in request.headers:
            if self._config.strict:
                raise ApiError(
                    428,
                    "precondition_required",
                    "A PATCH needs If-Match: the ETag of the session, or * for an ICE restart.",
                )
            return None
        names = [tag.value for tag in request.if_match or () if not tag.is_weak][:_MAX_NAMES]
        return None if "*" in names else names


def _entity_tag(answer: str) -> str:
    """The ETag of the ICE session that an answer begins."""
    lines = answer.splitlines()
    ufrag = next((line for line in lines if line.startswith(_UFRAG)), _UFRAG)
    return f'"{ufrag.removeprefix(_UFRAG)}"'


def _refused(error: OfferRejectedError) -> ApiError:
    status = _REFUSALS.get(error.code, 400)
    headers = {"Retry-After": "30"} if status == HTTPStatus.TOO_MANY_REQUESTS else None
    return ApiError(status, error.code, f"ICE cannot be restarted: {error}.", headers=headers)
