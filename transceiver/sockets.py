"""WebSockets of the control API: the events of a call, and sessions without WebRTC."""

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from collections.abc import Callable

import aiohttp
from aiohttp import web

from relay.httpedge import lift_time_limit
from transceiver.backend import EVENTS_LABEL, Wanted
from transceiver.bridge import events
from transceiver.bridge.backend import new_id
from transceiver.bridge.continuing import Continuing
from transceiver.bridge.link import CLOSE_SECONDS, CONNECT_SECONDS, HEARTBEAT, MAX_MESSAGE, close
from transceiver.bridge.passage import pass_both_ways
from transceiver.bridge.services import Services
from transceiver.bridge.table import Service
from transceiver.call import Call
from transceiver.errors import ControlApiError, ModelError

MAX_WAITING = 1 << 20  # characters of events that may wait to be sent
SHAPE = 4000  # the close code of OpenAI's service for what was asked for in vain


class WebSocketChannel:
    """A WebSocket in place of a data channel of events.

    Args:
        socket: It, opened.
    """

    label = EVENTS_LABEL
    longest = 0

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._waiting: deque[str | bytes] = deque()
        self._size = 0
        self._work = asyncio.Event()
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """See `Channel`."""
        return not self._is_closed and not self._socket.closed

    def send(self, message: str | bytes) -> bool:
        """See `Channel`."""
        if not self.is_open or self._size >= MAX_WAITING:
            return False
        self._waiting.append(message)
        self._size += len(message)
        self._work.set()
        return True

    def close(self) -> None:
        """Send what waits, and no more."""
        self._is_closed = True
        self._work.set()

    async def serve(self, take: Callable[[str | bytes], None]) -> None:
        """Pass messages both ways until it is closed from either side."""
        reading = asyncio.create_task(self._read(take))
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_closed = True
            for each in (reading, writing):
                each.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self, take: Callable[[str | bytes], None]) -> None:
        async for message in self._socket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                take(message.data)
            await asyncio.sleep(0)  # others have their turns

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self._work.clear()
                while self._waiting:
                    message = self._waiting.popleft()
                    self._size -= len(message)
                    if isinstance(message, str):
                        await self._socket.send_str(message)
                    else:
                        await self._socket.send_bytes(message)
                if self._is_closed:
                    return
                await self._work.wait()


class Sockets:
    """Serves them.

    Args:
        services: The back ends.
        most: The most sessions without WebRTC at a time.
        closed: Why none is taken now; None if one is.
    """

    def __init__(self, services: Services, most: int, closed: Callable[[], str | None]) -> None:
        self._services = services
        self._most = most
        self._closed = closed
        self._sessions: Counter[str | None] = Counter()  # by principal
        self._open: set[web.WebSocketResponse] = set()

    def of_principals(self) -> dict[str, int]:
        """How many sessions without WebRTC each principal has."""
        return {who: count for who, count in self._sessions.items() if who is not None}

    async def close(self, _: web.Application) -> None:
        """Close all of them: the server stops."""
        for each in list(self._open):
            await close(each, aiohttp.WSCloseCode.GOING_AWAY)

    async def look_on(self, request: web.Request, call: Call) -> web.WebSocketResponse:
        """The events of a call."""
        socket = await self._upgrade(request)
        channel = WebSocketChannel(socket)
        try:
            if not call.attach(channel):
                await _refuse(socket, "the call has ended, or too many look on", "call_not_open")
                return socket
            try:
                await channel.serve(lambda message: call.message(channel, message))
            finally:
                call.detach(channel)
            await close(socket)
        finally:
            self._open.discard(socket)
        return socket

    async def realtime(self, request: web.Request, wanted: Wanted) -> web.WebSocketResponse:
        """A session of a back end, as the Realtime API over WebSocket has it."""
        full = self._closed()
        if full is None and self._sessions.total() >= self._most:
            full = f"this transceiver serves {self._most} sessions without WebRTC, and no more"
        if full is not None:
            raise ControlApiError(503, "full", full, {"Retry-After": "5"})
        self._sessions[wanted.principal] += 1
        try:
            socket = await self._upgrade(request)
            try:
                await self._serve(socket, wanted)
            finally:
                self._open.discard(socket)
        finally:
            self._sessions[wanted.principal] -= 1
            if not self._sessions[wanted.principal]:
                del self._sessions[wanted.principal]
        return socket

    async def _serve(self, socket: web.WebSocketResponse, wanted: Wanted) -> None:
        try:
            service = self._services.table.choose(wanted.model, wanted.principal)
        except ModelError as error:
            await _refuse(socket, str(error), "model_not_found")
            return
        if service.url is None:
            await self._serve_here(socket, service, wanted)
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                continuing = Continuing(wanted.resume, wanted.keep)
                there = await self._services.connect(service, wanted, continuing)
        except (aiohttp.ClientError, OSError, TimeoutError):
            why = f"the back end {service.name} cannot be reached now"
            await _refuse(socket, why, "backend_unreachable", kind="server_error")
            return
        await close(socket, await pass_both_ways(socket, there))

    async def _serve_here(
        self, socket: web.WebSocketResponse, service: Service, wanted: Wanted
    ) -> None:
        """A session of a back end in this process."""
        channel = WebSocketChannel(socket)
        backend = service.local(f"sess_{secrets.token_urlsafe(18)}", wanted)
        try:
            backend.channel(channel)
            await channel.serve(lambda message: backend.message(channel, message))
        finally:
            backend.close()
        await close(socket)

    async def _upgrade(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False, timeout=CLOSE_SECONDS
        )
        if not socket.can_prepare(request):
            wanted = "this is a WebSocket: send an Upgrade"
            raise ControlApiError(426, "upgrade_required", wanted, {"Upgrade": "websocket"})
        await socket.prepare(request)
        lift_time_limit(request)
        self._open.add(socket)
        return socket


async def _refuse(
    socket: web.WebSocketResponse, why: str, code: str, kind: str = "invalid_request_error"
) -> None:
    """Say what is wrong as OpenAI's service does: an event, then the close code."""
    with contextlib.suppress(ConnectionError):
        await socket.send_str(events.error(new_id(), why, code=code, kind=kind))
    await close(socket, SHAPE, f"{kind}.{code}".encode())
