"""The control API for signaling: HTTP with JSON, meant for an internal address."""

import json
import logging
from typing import Any

from aiohttp import web

from relay.wire.errors import EndpointError
from relay.wire.transport import MAX_CANDIDATES, Candidate
from transceiver.errors import ControlApiError, FullError, OfferError
from transceiver.mux import Mux
from transceiver.sdp import MAX_SIZE, parse_offer
from transceiver.session import Session, Sessions

logger = logging.getLogger(__name__)

MAX_BODY = 4 * MAX_SIZE  # bytes; JSON escapes may lengthen an offer
RETRY_AFTER = "5"  # seconds


class ControlApi:
    """The routes of the control API.

    Args:
        sessions: The sessions to control.
        mux: The shared socket, whose counters are shown.
    """

    def __init__(self, sessions: Sessions, mux: Mux) -> None:
        self._sessions = sessions
        self._mux = mux

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors_as_json])
        app.add_routes(
            [
                web.post("/v1/sessions", self._create),
                web.get("/v1/sessions", self._list),
                web.get("/v1/sessions/{id}", self._show),
                web.post("/v1/sessions/{id}/offer", self._offer),
                web.delete("/v1/sessions/{id}", self._end),
                web.get("/v1/health", self._health),
                web.get("/v1/counters", self._counters),
            ]
        )
        return app

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        candidates = _candidates(body.get("candidates"))
        try:
            session, answer = await self._sessions.create(_sdp(body), candidates)
        except FullError as error:
            headers = {"Retry-After": RETRY_AFTER}
            raise ControlApiError(503, "full", str(error), headers) from None
        return web.json_response({"id": session.id, "sdp": answer}, status=201)

    async def _offer(self, request: web.Request) -> web.Response:
        session = self._session(request)
        answer = await session.answer(parse_offer(_sdp(await _body(request))))
        return web.json_response({"id": session.id, "sdp": answer})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"sessions": [session.stats() for session in self._sessions]})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._session(request).stats())

    async def _end(self, request: web.Request) -> web.Response:
        stats = await self._sessions.end(self._session(request).id)
        return web.json_response(stats)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "sessions": len(self._sessions),
                "capacity": self._sessions.capacity,
                "draining": self._sessions.draining,
            }
        )

    async def _counters(self, _: web.Request) -> web.Response:
        counters = {"sources": self._mux.sources, **self._mux.counters.as_dict()}
        return web.json_response({"counters": counters})

    def _session(self, request: web.Request) -> Session:
        session = self._sessions.get(request.match_info["id"])
        if session is None:
            raise ControlApiError(404, "no_session", "there is no such session")
        return session


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise ControlApiError(400, "invalid_json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise ControlApiError(400, "invalid_json", "the body is not a JSON object")
    return body


def _sdp(body: dict[str, Any]) -> str:
    sdp = body.get("sdp")
    if not isinstance(sdp, str):
        raise ControlApiError(400, "invalid_sdp", "`sdp` must be a string with the offer")
    return sdp


def _candidates(value: object) -> list[Candidate]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CANDIDATES:
        raise ControlApiError(
            400, "invalid_candidates", f"`candidates` must be a list of 1 to {MAX_CANDIDATES}"
        )
    try:
        return [Candidate.load(each) for each in value]
    except EndpointError as error:
        raise ControlApiError(400, "invalid_candidates", str(error)) from None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ControlApiError as error:
        return _error_response(error.status, error.code, str(error), error.headers)
    except OfferError as error:
        return _error_response(400, error.code, str(error))
    except web.HTTPException as error:
        return _error_response(error.status, "http", error.reason)
    return response


def _error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"code": code, "message": message}
    return web.json_response({"error": error}, status=status, headers=headers)
