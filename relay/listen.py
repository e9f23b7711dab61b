"""Listening for HTTP, and errors that say why an address cannot be listened on."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from relay.activation import ACTIVATION
from relay.errors import BindError
from relay.httpedge import (
    HANDSHAKE,
    MOST_CONNECTIONS,
    ErrorResponse,
    HttpEdge,
    plain_error,
)
from relay.supervision import Faults
from relay.wire.endpoint import Endpoint

_SHUTDOWN_TIMEOUT = 1.0  # seconds that requests in progress may take when the server stops
_BACKLOG = 1024  # connections that the kernel accepts before we do
_REMEDIES = {
    errno.EADDRINUSE: "another program has this port: stop it or choose another port{how}",
    errno.EADDRNOTAVAIL: "this host has no such address: see `ip address`",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one{how}",
}


@asynccontextmanager
async def serve_http(
    application: web.Application,
    where: Endpoint | socket.socket,
    purpose: str,
    *,
    faults: Faults | None = None,
    error_response: ErrorResponse = plain_error,
    tls: ssl.SSLContext | None = None,
    most_of_one: int = MOST_CONNECTIONS,
    shared: Callable[[str], bool] = lambda _: False,
) -> AsyncIterator[Endpoint]:
    """Serve an application while the context is entered.

    Whoever goes away while his request is handled cancels its handler. What aiohttp would log of
    WebSockets' subprotocols is not: browsers send keys in them.

    Args:
        application: What to serve.
        where: Where to listen (port 0 takes any), or a socket of `listening`, which becomes ours.
        purpose: What is served, for the text of the error.
        faults: Where it is noted what breaks while a request is handled.
        error_response: Makes the answers to requests that never reach the application, or break.
        tls: The context of an HTTPS server; None for HTTP.
        most_of_one: Connections of one address at a time.
        shared: Whether many clients come from an address, as from a proxy's: it may have all.

    Yields:
        The address, with the port that was taken.

    Raises:
        BindError: On entering, when the address cannot be listened on.
    """
    logging.getLogger("aiohttp.websocket").addFilter(_is_of_no_subprotocol)
    runner = web.AppRunner(
        application, shutdown_timeout=_SHUTDOWN_TIMEOUT, handler_cancellation=True
    )
    await runner.setup()
    server = cast("web.Server", runner.server)  # as it is set up
    edge = HttpEdge(
        server, faults or Faults(), error_response, most_of_one=most_of_one, shared=shared
    )
    try:
        serving = await asyncio.get_running_loop().create_server(
            edge,
            sock=listening(where, purpose) if isinstance(where, Endpoint) else where,
            backlog=_BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE if tls else None,
        )
        try:
            yield Endpoint.of(serving.sockets[0].getsockname())
        finally:
            serving.close()
    finally:
        await runner.cleanup()


def listening(address: Endpoint, purpose: str) -> socket.socket:
    """A socket on which connections wait: one of the service manager's, if it has one there.

    Args:
        address: Where to listen; port 0 takes any.
        purpose: What is served, for the text of the error.

    Raises:
        BindError: The address cannot be listened on.
    """
    if (given := ACTIVATION.take(address)) is not None:
        return given
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise bind_error(address, purpose, error) from None
    return sock


def _is_of_no_subprotocol(record: logging.LogRecord) -> bool:
    return "protocols" not in str(record.msg)


def bind_error(address: Endpoint, purpose: str, error: OSError, option: str = "") -> BindError:
    """The error for an address that cannot be bound: what was wanted there, why not, what to do.

    Args:
        address: The address.
        purpose: What it is for.
        error: The kernel's error, also as asyncio words it.
        option: Of the command line, with what another one is chosen.
    """
    cause = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another address{how}")
    remedy = remedy.format(how=f" with {option}" if option else "")
    return BindError(f"cannot listen on {address} for {purpose}: {cause}; {remedy}")
