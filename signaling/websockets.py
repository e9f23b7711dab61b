"""The WebSockets of the Realtime API: sessions without WebRTC, and the one beside a call.

Both are the transceiver's, and are passed on message by message. Whoever takes nothing stops the
other side, by TCP: no message waits here but one each way. What is wrong with a request is told
after the opening handshake, as to all who want a WebSocket (`signaling.answers`).
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
from aiohttp import hdrs, web

from relay.httpedge import lift_time_limit
from signaling.auth.credentials import REALTIME as SUBPROTOCOL
from signaling.auth.gate import Caller, caller_of, told_of_quota
from signaling.auth.limits import Quotas
from signaling.callactions import told_of_calls
from signaling.control import HEARTBEAT, MAX_MESSAGE
from signaling.errors import (
    ApiError,
    CallBrokeError,
    ModelRejectedError,
    NoTransceiverError,
    SessionNotFoundError,
)
from signaling.pool import TransceiverPool
from signaling.resume import HEADER as RESUME
from signaling.resume import TOKEN_BYTES, Tokens
from signaling.room import room_for
from signaling.routes import Access, Route
from signaling.session import Setup, check_model

REALTIME = "/v1/realtime"
#: WebSockets at a time; each may hold a message of `MAX_MESSAGE` each way.
MAX_SOCKETS = 512

_INTENTS = ("realtime", "transcription")
_NORMAL, _GONE, _BROKE = 1000, 1001, 1011  # close codes (RFC 6455, section 7.4.1)
_MAX_REASON = 123  # bytes (RFC 6455, section 5.5)
_CLOSING = 2.0  # seconds for the last words to a side

_log = logging.getLogger(__name__)

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Ending(NamedTuple):
    """How a side has ended a WebSocket: the code and the reason of its close."""

    code: int
    reason: str


class WebSocketRoutes:
    """WebSockets, which end with their calls.

    Args:
        pool: Knows the transceivers.
        quotas: What principals have done.
    """

    def __init__(self, pool: TransceiverPool, quotas: Quotas) -> None:
        self._pool = pool
        self._quotas = quotas
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, REALTIME, self._serve, Access.CALLER)]

    async def close(self) -> None:
        """Say goodbye to all clients."""
        closing = [each.close(code=_GONE, message=b"the server stops") for each in self._open]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        wanted = _wanted(request.query)
        client = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=HEARTBEAT,
            max_msg_size=MAX_MESSAGE,
            compress=False,  # sound in base64 is as long deflated
            timeout=_CLOSING,
            autoclose=False,  # or its handler is cancelled before the other side is told
        )
        if not client.can_prepare(request):
            raise ApiError(
                426,
                "upgrade_required",
                f"{REALTIME} is a WebSocket; calls over WebRTC begin at {REALTIME}/calls.",
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        with self._counted(client):
            caller = caller_of(request)
            if wanted.call_id is not None:
                await self._pass_on(request, client, await self._beside(wanted.call_id, caller))
            else:
                tokens = Tokens.of(request.headers, secrets.token_bytes(TOKEN_BYTES))
                setup = caller.setup(Setup(model=wanted.model)).continuing(tokens)
                client.headers[RESUME] = tokens.own or ""
                self._count(caller)
                async with room_for(caller.key, self._quotas, self._pool.members):
                    service = await self._alone(setup, transcribes=wanted.transcribes)
                if setup.session is not None:
                    await service.send_str(_update(setup.session))
                await self._pass_on(request, client, service)
        return client

    @contextlib.contextmanager
    def _counted(self, client: web.WebSocketResponse) -> Iterator[None]:
        if len(self._open) >= MAX_SOCKETS:
            raise ApiError(
                503,
                "too_many_websockets",
                f"This server has {MAX_SOCKETS} WebSockets, and takes no more.",
                headers={"Retry-After": "5"},
            )
        self._open.add(client)
        try:
            yield
        finally:
            self._open.discard(client)

    def _count(self, caller: Caller) -> None:
        """Count a session that is asked for as a set-up of its principal."""
        if caller.key is not None:
            with told_of_quota():
                self._quotas.begin(caller.key.name, caller.key.quota, time.monotonic())

    async def _beside(self, call_id: str, caller: Caller) -> aiohttp.ClientWebSocketResponse:
        """The WebSocket beside a call, which who has a client secret only is not to steer."""
        with told_of_calls():
            if caller.session is not None:
                raise SessionNotFoundError(f"{call_id} is not for a client secret")
            control, session_id = self._pool.control_of(call_id)
            return await control.events(session_id)

    async def _alone(self, setup: Setup, *, transcribes: bool) -> aiohttp.ClientWebSocketResponse:
        """A session of its own, of the model and with the session that are asked for."""
        transcribes = transcribes or (setup.session or {}).get("type") == "transcription"
        try:
            return await self._pool.converse(setup, transcribes=transcribes)
        except ModelRejectedError:
            raise ApiError(
                404,
                "model_not_found",
                "There is no such model here; GET /v1/models lists them.",
                param="model",
            ) from None
        except (CallBrokeError, NoTransceiverError) as error:
            _log.warning("a session cannot be placed: %s", error)
            raise ApiError(
                503,
                "no_transceiver",
                "The session cannot be placed now: no transceiver has room, or it failed.",
                headers={"Retry-After": "2"},
            ) from None

    async def _pass_on(
        self,
        request: web.Request,
        client: web.WebSocketResponse,
        service: aiohttp.ClientWebSocketResponse,
    ) -> None:
        try:
            await client.prepare(request)
            lift_time_limit(request)
            try:
                await join(client, service)
            finally:
                await client.close(code=_BROKE)  # if it is not closed yet, this failed
        finally:
            await service.close()


async def join(client: Socket, service: Socket) -> None:
    """Pass messages both ways until one side ends, and end the other one with its words."""
    ways = {
        asyncio.create_task(_pass(client, service)): service,
        asyncio.create_task(_pass(service, client)): client,
    }
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    ended = done.pop()
    ending, other = ended.result(), ways[ended]
    for side in (other, client if other is service else service):
        await side.close(code=ending.code, message=ending.reason.encode()[:_MAX_REASON])


async def _pass(source: Socket, sink: Socket) -> Ending:
    """Pass messages on until the source ends, or the sink takes none any more."""
    while True:
        message = await source.receive()
        try:
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case aiohttp.WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case aiohttp.WSMsgType.CLOSE:
                    return Ending(_sendable(message.data), message.extra or "")
                case _:  # such as the error of a message that is too long
                    return Ending(_sendable(source.close_code), "")
        except (ConnectionError, aiohttp.ClientError):
            return Ending(_GONE, "")


def _sendable(code: int | None) -> int:
    """A code that may be sent: some only tell that there was none, or no connection."""
    if code is None or code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
        return _BROKE
    return code if 1000 <= code < 1004 or 1007 <= code < 1015 or 3000 <= code < 5000 else _NORMAL


def _update(session: Mapping[str, Any]) -> str:
    """The event that gives a session what a client secret stands for; its model is chosen."""
    said = {name: value for name, value in session.items() if name != "model"}
    return json.dumps({"type": "session.update", "session": {"type": "realtime", **said}})


class _Wanted(NamedTuple):
    """What is asked for: a call, or else a session, of a model or for transcription."""

    call_id: str | None
    model: str | None
    transcribes: bool


def _wanted(query: Mapping[str, str]) -> _Wanted:
    call_id, model = query.get("call_id") or None, query.get("model") or None
    intent = query.get("intent") or "realtime"
    if intent not in _INTENTS:
        raise ApiError(
            400, "invalid_value", f"The intent is one of {', '.join(_INTENTS)}.", param="intent"
        )
    transcribes = intent == "transcription"
    if (call_id is None) == (model is None and not transcribes):
        raise ApiError(
            400,
            "invalid_request",
            "Give exactly one of ?model= or ?intent=transcription, for a new session, and "
            "?call_id=, for one beside a call.",
            param="model",
        )
    return _Wanted(call_id, check_model(model), transcribes)
