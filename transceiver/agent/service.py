"""The agent as a service that Realtime clients connect to: a WebSocket for each session."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

from relay.httpedge import lift_time_limit
from relay.listen import serve_http
from relay.supervision import Faults
from relay.wire.endpoint import Endpoint
from transceiver.agent.berths import Berths
from transceiver.agent.kept import KeptSessions
from transceiver.agent.parts import Parts
from transceiver.agent.session import AgentSession
from transceiver.agent.settings import DEFAULT_CAPACITY
from transceiver.realtime.commands import Close
from transceiver.realtime.engine import Engine
from transceiver.realtime.errors import SERVER_ERROR, error_event
from transceiver.realtime.session import LIFE, Session
from transceiver.resume import KEEP, RESUME, SECONDS, is_name

MODEL = "icelane-agent"
VOICE = "icelane"
PING = 20.0  # seconds; a client that does not answer within half as many is gone
MAX_MESSAGE = 16 << 20  # bytes
MAX_MODEL = 256  # characters
PROTOCOL = "realtime"

# Codes of RFC 6455, 7.4 and of the IANA registry, and OpenAI's own one.
_GOING_AWAY, _TRY_AGAIN, _WRONG_SHAPE = 1001, 1013, 4000

_log = logging.getLogger(__name__)


class AgentService:
    """Serves sessions while its context is entered.

    Args:
        listen: Where to listen; port 0 takes any.
        parts: What its agent is made of.
        capacity: The most sessions at a time.
        life: Seconds that a session may last.
        kept_for: Seconds that a session is kept whose connection broke, if its client wants that.

    Attributes:
        address: Where it is served, once entered.
        kept: Sessions without a connection.

    Raises:
        BindError: On entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: Endpoint,
        parts: Parts,
        *,
        capacity: int = DEFAULT_CAPACITY,
        life: float = LIFE,
        kept_for: float = SECONDS,
    ) -> None:
        self.address = listen
        self.faults = Faults(_log)
        self._parts = parts
        self._capacity = capacity
        self._life = life
        self._sockets: set[web.WebSocketResponse] = set()
        self.kept: KeptSessions[AgentSession] = KeptSessions(seconds=kept_for)
        self._berths = Berths(self.kept)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.faults.guard(asyncio.get_running_loop(), alone=False)
        async with AsyncExitStack() as stack:
            served = serve_http(self._application(), self.address, "the agent", faults=self.faults)
            stack.callback(self._berths.close)
            self.address = await stack.enter_async_context(served)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://{self.address}/v1/realtime"

    @property
    def sessions(self) -> int:
        """How many there are now."""
        return len(self._sockets)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=0)
        app.on_shutdown.append(self._go_away)
        app.add_routes(
            [
                web.get("/v1/realtime", self._serve),
                web.get("/v1/models", self._models),
                web.get("/healthz", self._health),
            ]
        )
        return app

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "owned_by": "icelane"}
        return web.json_response({"object": "list", "data": [model]})

    async def _health(self, _: web.Request) -> web.Response:
        known = {
            "status": "ok",
            "sessions": self.sessions,
            "kept": len(self.kept),
            "capacity": self._capacity,
        }
        return web.json_response(known)

    async def _go_away(self, _: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=_GOING_AWAY, message=b"the agent stops")

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=PING, max_msg_size=MAX_MESSAGE, compress=False
        )
        await socket.prepare(request)
        lift_time_limit(request)
        refusal = _refusal(request.query)
        known = self._berths.knows(_name(request, RESUME), _name(request, KEEP))
        if refusal is None and self.sessions >= self._capacity and not known:
            message = f"All {self._capacity} sessions are taken: try again later."
            error = error_event("capacity_exceeded", message, kind=SERVER_ERROR)
            refusal = _TRY_AGAIN, error
        if refusal is not None:
            await _refuse(socket, *refusal)
            return socket
        self._sockets.add(socket)
        try:
            await self._converse(socket, request)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _converse(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """Serve a session that was kept, or a new one, until its connection ends."""
        keep = _name(request, KEEP)
        # By the second name it is known where the same request was made before, and not answered.
        session = await self._berths.resume(_name(request, RESUME), keep)
        berth = self._berths.hold(session or self._new(request.query), keep)
        closing = None
        try:
            closing = await berth.hold(partial(self._run, socket))
        finally:
            # Only a close by the client says that it does not come back.
            is_over = closing is not None or socket.close_code == WSCloseCode.OK
            self._berths.release(berth, is_over=is_over)
        if closing is not None:
            await socket.close(code=closing.code, message=closing.reason.encode())

    async def _run(self, socket: web.WebSocketResponse, session: AgentSession) -> Close | None:
        async def receive() -> str | bytes | None:
            message = await socket.receive()
            taken = message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
            return message.data if taken else None

        return await session.run(receive, socket.send_str, session.until - time.monotonic())

    def _new(self, query: Mapping[str, str]) -> AgentSession:
        engine = Engine(
            Session.new(
                _new_id("sess"),
                query.get("model") or MODEL,
                VOICE,
                int(time.time() + self._life),
                query.get("intent") or "realtime",
            ),
            _new_id,
        )
        until = time.monotonic() + self._life
        return AgentSession(engine, self._parts, self.faults, until=until)


def _name(request: web.Request, header: str) -> str | None:
    """The name of a session in a header; None where there is none."""
    name = request.headers.get(header)
    return name if is_name(name) else None


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def _refusal(query: Mapping[str, str]) -> tuple[int, dict[str, Any]] | None:
    """Why a connection is closed that asks for this, if it is: the code, and an event."""
    if "call_id" in query:
        message = "There are no calls here: connect with `model`, or to the server of the call."
        return _WRONG_SHAPE, error_event("call_id_not_found", message, param="call_id")
    if len(query.get("model", "")) > MAX_MODEL:
        message = f"`model` may have {MAX_MODEL} characters."
        return _WRONG_SHAPE, error_event("invalid_model", message, param="model")
    if query.get("intent", "realtime") not in ("realtime", "transcription", ""):
        message = "`intent` must be 'realtime' or 'transcription'."
        return _WRONG_SHAPE, error_event("invalid_value", message, param="intent")
    return None


async def _refuse(socket: web.WebSocketResponse, code: int, event: dict[str, Any]) -> None:
    error = event["error"]
    try:
        await socket.send_json({"event_id": _new_id("event"), **event})
    except ConnectionError:
        return  # it has gone by itself
    await socket.close(code=code, message=f"{error['type']}.{error['code']}".encode())
