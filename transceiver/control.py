"""The control API for signaling: HTTP with JSON, meant for an internal address."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from relay.wire.errors import EndpointError
from relay.wire.transport import MAX_CANDIDATES, Candidate
from transceiver.backend import Wanted
from transceiver.bridge.services import Services
from transceiver.call import Call
from transceiver.calls import CallRequest, Calls
from transceiver.callspans import Told
from transceiver.errors import (
    ControlApiError,
    FullError,
    ModelError,
    OfferError,
    ShareTakenError,
)
from transceiver.metrics import measure
from transceiver.mux import Mux
from transceiver.resume import KEEP, RESUME, is_name
from transceiver.sdp import MAX_SIZE, read_offer
from transceiver.sockets import Sockets

if TYPE_CHECKING:
    from relay.exposition import Exposition

logger = logging.getLogger(__name__)

MAX_BODY = 8 * MAX_SIZE  # bytes; JSON escapes may lengthen an offer, and a session comes with it
MAX_CLIENT = 64  # characters
TRANSCRIPTION = "transcription"  # a type of sessions, and what clients intend
MAX_NAME = 256  # characters of a model or a principal
MAX_CHANNEL = 65534  # the highest stream of an association (RFC 8831, section 6.4)
RETRY_AFTER = "5"  # seconds
CROWD_WAIT = "2"  # seconds, after which a call without a check is late (transceiver.admission)
#: The header with the load, as `/v1/health` has it; signaling knows it by this name, too.
LOAD = "Icelane-Load"


class ControlApi:
    """The routes of the control API.

    Args:
        calls: The calls to control.
        mux: The shared socket, whose counters are shown.
        services: The back ends.
        spans: Says how many spans were sent, and were not; None where there are none.
    """

    def __init__(
        self,
        calls: Calls,
        mux: Mux,
        services: Services,
        spans: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        self._calls = calls
        self._mux = mux
        self._services = services
        self._spans = spans
        self._errors: Counter[str] = Counter()
        self._exposition: Exposition | None = None
        self._sockets = Sockets(services, calls.admission.capacity, calls.closed)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._errors_as_json])
        app.on_response_prepare.append(self._tell_load)
        app.on_shutdown.append(self._sockets.close)
        app.add_routes(
            [
                web.post("/v1/sessions", self._create),
                web.get("/v1/sessions", self._list),
                web.get("/v1/sessions/{id}", self._show),
                web.post("/v1/sessions/{id}/offer", self._offer),
                web.post("/v1/sessions/{id}/restart", self._restart),
                web.delete("/v1/sessions/{id}", self._end),
                web.get("/v1/sessions/{id}/events", self._events),
                web.get("/v1/realtime", self._realtime),
                web.get("/v1/models", self._models),
                web.get("/v1/health", self._health),
                web.get("/readyz", self._ready),
                web.get("/v1/counters", self._counters),
                web.post("/v1/drain", self._drain),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        wanted = CallRequest(
            candidates=_candidates(body.get("candidates")),
            sdp=_sdp(body),
            client=_client(body),
            negotiated=_negotiated(body),
            wanted=_wanted(body),
            told=Told.read(request.headers) if self._spans is not None else None,
        )
        try:
            call, answer = self._calls.create(wanted)
        except ModelError as error:
            raise ControlApiError(400, "model_not_found", str(error)) from None
        except ShareTakenError as error:
            raise ControlApiError(429, "crowd", str(error), {"Retry-After": CROWD_WAIT}) from None
        except FullError as error:
            raise ControlApiError(503, "full", str(error), {"Retry-After": RETRY_AFTER}) from None
        if request.transport is None or request.transport.is_closing():
            call.end("nobody took its answer")
        return web.json_response({"id": call.id, "sdp": answer}, status=201)

    async def _offer(self, request: web.Request) -> web.Response:
        body = await _body(request)
        call = self._call(request)
        answer = call.answer(read_offer(_sdp(body)))
        return web.json_response({"id": call.id, "sdp": answer})

    async def _restart(self, request: web.Request) -> web.Response:
        """Restart ICE where the client's credentials are new; without any, only compare `match`.

        `match` has names of ICE sessions, one of which must be the call's of now; null is any.
        """
        body = await _body(request)
        call, match, credentials = self._call(request), _match(body), _credentials(body)
        if match is not None and call.ice_session not in match:
            raise ControlApiError(412, "stale", "ICE has been restarted since then")
        fragment = None if credentials is None else call.restart(*credentials)
        return web.json_response(
            {"id": call.id, "ice_session": call.ice_session, "fragment": fragment}
        )

    async def _list(self, request: web.Request) -> web.Response:
        """All sessions, or those of a principal."""
        wanted = request.query.get("principal")
        every = (call.stats() for call in self._calls)
        sessions = [each for each in every if wanted is None or each["principal"] == wanted]
        return web.json_response({"sessions": sessions})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._call(request).stats())

    async def _end(self, request: web.Request) -> web.Response:
        kept = request.query.get("keep") == "true"
        stats = self._calls.end(self._call(request).id, kept=kept)
        return web.json_response(stats)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The events of a session, both ways, on a WebSocket."""
        return await self._sockets.look_on(request, self._call(request))

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        """A session of a back end without WebRTC."""
        query = request.query
        names = {"resume": request.headers.get(RESUME), "keep": request.headers.get(KEEP)}
        wanted = Wanted(
            model=query.get("model"),
            principal=query.get("principal"),
            transcribes=query.get("intent") == TRANSCRIPTION,
            resume=_kept(names, "resume"),
            keep=_kept(names, "keep"),
        )
        return await self._sockets.realtime(request, wanted)

    async def _models(self, request: web.Request) -> web.Response:
        models = self._services.models(request.query.get("principal"))
        return web.json_response({"object": "list", "data": models})

    async def _health(self, _: web.Request) -> web.Response:
        """The load, how many calls and sessions without WebRTC each principal has, what fails."""
        principals = Counter(self._calls.of_principals()) + Counter(self._sockets.of_principals())
        failing = self._calls.supervisor.failing
        return web.json_response(
            {**self._calls.load(), "principals": principals, "failing": failing}
        )

    async def _ready(self, _: web.Request) -> web.Response:
        """Whether new calls should come; that it lives `/v1/health` tells."""
        why = self._calls.closed()
        if why is not None:
            return web.Response(status=503, text=f"{why}\n")
        return web.Response(text="ok\n")

    async def _drain(self, request: web.Request) -> web.Response:
        """Take no new calls, or take them again."""
        draining = (await _body(request)).get("draining")
        if not isinstance(draining, bool):
            raise ControlApiError(400, "invalid_draining", "`draining` must be true or false")
        self._calls.admission.draining = draining
        return web.json_response(self._calls.load())

    async def _tell_load(self, _: web.Request, response: web.StreamResponse) -> None:
        """Every answer tells the load that follows from it."""
        response.headers[LOAD] = json.dumps(self._calls.load())

    async def _counters(self, _: web.Request) -> web.Response:
        now = {"sources": self._mux.sources, "tasks": len(asyncio.all_tasks())}
        clock = self._calls.clock
        counters = now | self._mux.counters.as_dict() | {"turns_skipped": clock.skipped}
        histograms = {
            "setup_seconds": self._calls.steps.as_dict(),
            "turn_lateness_seconds": clock.lateness.as_dict(),
        }
        faults = dict(self._calls.faults.counters)
        return web.json_response({"counters": counters, "histograms": histograms, "faults": faults})

    async def _metrics(self, _: web.Request) -> web.Response:
        """For Prometheus."""
        from relay import exposition  # noqa: PLC0415  # 3 MB that a transceiver saves until asked

        if self._exposition is None:
            latencies, spans = self._services.latencies, self._spans or dict
            self._exposition = exposition.Exposition(
                lambda: measure(self._calls, self._mux, latencies, self._errors, spans())
            )
        headers = {"Content-Type": exposition.CONTENT_TYPE}
        return web.Response(body=self._exposition.text(), headers=headers)

    @web.middleware
    async def _errors_as_json(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except ControlApiError as error:
            self._errors[error.code] += 1
            return _error_response(error.status, error.code, str(error), error.headers)
        except OfferError as error:
            self._errors[error.code] += 1
            return _error_response(400, error.code, str(error))
        return response

    def _call(self, request: web.Request) -> Call:
        call = self._calls.get(request.match_info["id"])
        if call is None:
            raise ControlApiError(404, "no_session", "there is no such session")
        return call


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise ControlApiError(400, "invalid_json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise ControlApiError(400, "invalid_json", "the body is not a JSON object")
    return body


def _sdp(body: dict[str, Any]) -> str:
    sdp = body.get("sdp")
    if not isinstance(sdp, str):
        raise ControlApiError(400, "invalid_sdp", "`sdp` must be a string with the offer")
    return sdp


def _client(body: dict[str, Any]) -> str | None:
    client = body.get("client")
    if client is not None and (not isinstance(client, str) or len(client) > MAX_CLIENT):
        raise ControlApiError(
            400, "invalid_client", f"`client` must be a string of at most {MAX_CLIENT} characters"
        )
    return client


def _match(body: dict[str, Any]) -> list[str] | None:
    match = body.get("match")
    if match is not None and not (
        isinstance(match, list) and all(isinstance(each, str) for each in match)
    ):
        raise ControlApiError(400, "invalid_match", "`match` must be a list of strings, or null")
    return match


def _credentials(body: dict[str, Any]) -> tuple[str, str] | None:
    ufrag, password = body.get("ufrag"), body.get("password")
    if ufrag is None and password is None:
        return None
    if not isinstance(ufrag, str) or not isinstance(password, str):
        raise ControlApiError(
            400, "invalid_credentials", "`ufrag` and `password` must be strings, or both null"
        )
    return ufrag, password


def _negotiated(body: dict[str, Any]) -> int | None:
    number = body.get("dcid")
    if number is not None and (type(number) is not int or not 0 <= number <= MAX_CHANNEL):
        raise ControlApiError(
            400, "invalid_dcid", f"`dcid` must be a number of a stream, 0 to {MAX_CHANNEL}"
        )
    return number


def _wanted(body: dict[str, Any]) -> Wanted:
    session = body.get("session")
    if session is not None and not isinstance(session, dict):
        raise ControlApiError(400, "invalid_session", "`session` must be an object")
    model = _name(body, "model") or _name(session or {}, "model")
    return Wanted(
        session,
        model,
        _name(body, "principal"),
        region=_name(body, "region"),
        transcribes=(session or {}).get("type") == TRANSCRIPTION,
        resume=_kept(body, "resume"),
        keep=_kept(body, "keep"),
    )


def _kept(body: dict[str, Any], field: str) -> str | None:
    name = body.get(field)
    if name is not None and not is_name(name):
        raise ControlApiError(
            400, f"invalid_{field}", f"`{field}` must be 43 to 128 characters of base64url"
        )
    return name


def _name(body: dict[str, Any], field: str) -> str | None:
    name = body.get(field)
    if name is not None and (not isinstance(name, str) or len(name) > MAX_NAME):
        raise ControlApiError(
            400, f"invalid_{field}", f"`{field}` must be a string of at most {MAX_NAME} characters"
        )
    return name


def _candidates(value: object) -> list[Candidate]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CANDIDATES:
        raise ControlApiError(
            400, "invalid_candidates", f"`candidates` must be a list of 1 to {MAX_CANDIDATES}"
        )
    try:
        return [Candidate.load(each) for each in value]
    except EndpointError as error:
        raise ControlApiError(400, "invalid_candidates", str(error)) from None


def response_to_no_request(status: int, message: str) -> web.Response:
    """The answer to what never reached a route, or broke there."""
    return _error_response(status, "internal" if status >= 500 else "http", message)


def _error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"code": code, "message": message}
    return web.json_response({"error": error}, status=status, headers=headers)
