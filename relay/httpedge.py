"""The edge of an HTTP server: what a connection may cost before, between and after its requests.

aiohttp bounds a request's head (128 headers, 8 KB each) and, where an application asks, its body.
Here is what it leaves open: how many connections there are, how long one may be silent or leave
its answers unread, and that a request that is no HTTP costs a line in the log and is answered in
the format of the API.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from relay.supervision import Faults

#: Seconds that a client may take for the head of a request, and be silent between two requests.
IDLE = 15.0
#: Seconds that a client may take for the handshake of TLS.
HANDSHAKE = 5.0
#: Seconds from the head of a request to its answer; what an application waits for is shorter.
WHOLE_REQUEST = 30.0
#: Seconds that answers may lie unread before the kernel gives the connection up.
UNREAD = 15
#: Connections at a time. A connection may hold a body and two buffers: 0.3 MB at the most.
MOST_CONNECTIONS = 1024
READ_BUFFER = 16 << 10  # bytes; the transport is paused at twice as many

#: Makes the answer to what never reaches the application, from its status and a sentence.
ErrorResponse = Callable[[int, str], web.Response]


_SENTENCES = {
    400: "This is no HTTP request, or its head is too long: 128 headers of 8,190 bytes may come.",
    500: "This server failed on this request, which it has logged; others are served.",
    504: "The request took too long.",
}
_NO_TEXT = "This request has a header that is no text: write headers in ASCII, or in UTF-8."


def plain_error(status: int, message: str) -> web.Response:
    """The answer of a server whose API has no format for errors."""
    return web.Response(status=status, text=message)


def lift_time_limit(request: web.BaseRequest) -> None:
    """Let a request take as long as it takes: it has become a WebSocket, which bounds itself."""
    cast("_Connection", request.protocol).limit.reschedule(None)


class HttpEdge:
    """Makes the connections of a server, and counts them.

    When there are too many, the one that has waited the longest without a request makes room, as
    TCP does with connections that are half open: who only connects costs nobody his place.

    One address may have a share of them. Beyond it, its own connection that has waited the
    longest makes room, or the newcomer where all are busy.

    Args:
        server: Handles the requests.
        faults: Where it is noted what broke while a request was handled.
        error_response: Makes the answers to what is no HTTP, and to what broke.
        most_of_one: Connections of one address at a time.
        shared: Whether many clients come from an address, as from a proxy's: it may have all.

    Attributes:
        refused: How many connections had to make room.
    """

    def __init__(
        self,
        server: web.Server,
        faults: Faults,
        error_response: ErrorResponse = plain_error,
        *,
        most_of_one: int = MOST_CONNECTIONS,
        shared: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.refused = 0
        self._most_of_one = most_of_one
        self._shared = shared
        self._of_one: dict[str, set[web.RequestHandler]] = {}
        self.error_response = error_response
        self._server = server
        self._faults = faults
        self._handler = server.request_handler
        self._busy: set[web.RequestHandler] = set()
        self._waiting: dict[web.RequestHandler, asyncio.Transport] = {}  # the longest first
        server.request_handler = self._handle

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        return _Connection(
            self,
            self._server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE,
            lingering_time=IDLE,
            access_log=None,
            auto_decompress=False,  # a body of 1 KB may be 1 MB; no client of these APIs sends such
            read_bufsize=READ_BUFFER,
        )

    def __len__(self) -> int:
        return len(self._busy) + len(self._waiting)

    def opened(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection, at the cost of another one where there are too many."""
        self._waiting[connection] = transport
        if (address := self._address(transport)) is not None:
            own = self._of_one.setdefault(address, set())
            own.add(connection)
            if len(own) > self._most_of_one:
                self._make_room(next(each for each in self._waiting if each in own))
        if len(self) > MOST_CONNECTIONS:
            self._make_room(next(iter(self._waiting)))

    def closed(self, connection: web.RequestHandler, transport: asyncio.Transport | None) -> None:
        """Forget a connection."""
        self._waiting.pop(connection, None)
        self._busy.discard(connection)
        if transport is not None and (address := self._address(transport)) in self._of_one:
            own = self._of_one[address]
            own.discard(connection)
            if not own:
                del self._of_one[address]

    def _make_room(self, connection: web.RequestHandler) -> None:
        self.refused += 1
        self._waiting.pop(connection).abort()

    def _address(self, transport: asyncio.Transport) -> str | None:
        """The address whose share a connection counts in, if it counts in one."""
        peer = transport.get_extra_info("peername")
        if not isinstance(peer, tuple) or self._shared(peer[0]):
            return None
        return str(peer[0])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Have a request handled within `WHOLE_REQUEST`; its connection is busy meanwhile."""
        connection = request.protocol
        transport = self._waiting.pop(connection, None)
        if transport is None:  # it has just made room for another one
            raise ConnectionResetError
        self._busy.add(connection)
        try:
            async with asyncio.timeout(WHOLE_REQUEST) as limit:
                cast("_Connection", connection).limit = limit
                return await self._answer(request)
        finally:
            if connection in self._busy:
                self._busy.discard(connection)
                self._waiting[connection] = transport

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handler(request)
        except web.HTTPException as error:
            return self.error_response(error.status, f"{error.reason}.")
        except (ConnectionError, TimeoutError):
            raise  # the client is gone, or took too long
        except Exception as error:  # noqa: BLE001  # whatever it is, it is of this request
            # aiohttp quotes headers in what it refuses, such as Expect and Upgrade, and cannot
            # write what it could not read.
            if isinstance(error, UnicodeEncodeError) and not _is_text(request):
                return self.error_response(400, _NO_TEXT)
            self._faults.note(f"{request.method} {_route(request)}", error)
            return self.error_response(500, _SENTENCES[500])


def _is_text(request: web.BaseRequest) -> bool:
    """Whether the head of a request can be read; aiohttp has surrogates for what cannot."""
    try:
        "".join((request.method, request.path_qs, *request.headers.values())).encode()
    except UnicodeEncodeError:
        return False
    return True


def _route(request: web.BaseRequest) -> str:
    """The route of a request, of which there are few; paths there are many."""
    resource = request.match_info.route.resource if isinstance(request, web.Request) else None
    return resource.canonical if resource is not None else "elsewhere"


class _Connection(web.RequestHandler):
    """A connection that an edge counts.

    Attributes:
        limit: The time limit of the request that is handled.
    """

    __slots__ = ("_edge", "limit")

    limit: asyncio.Timeout

    def __init__(self, edge: HttpEdge, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._edge = edge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        accepted = transport.get_extra_info("socket")
        if accepted is not None:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
        self._edge.opened(self, cast("asyncio.Transport", transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._edge.closed(self, self.transport)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's, which quotes the client
    ) -> web.StreamResponse:
        """Answer what aiohttp itself refuses, or has seen take too long."""
        if request.writer.output_size > 0:
            raise ConnectionResetError from exc  # there is half an answer already
        response = self._edge.error_response(status, _SENTENCES.get(status, "It cannot be served."))
        response.force_close()
        return response
