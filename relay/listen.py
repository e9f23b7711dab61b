"""Listening for HTTP, and errors that say why an address cannot be listened on."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from relay.errors import BindError
from relay.wire.endpoint import Endpoint

_SHUTDOWN_TIMEOUT = 1.0  # seconds that requests in progress may take when the server stops
_REMEDIES = {
    errno.EADDRINUSE: "another program has this port: stop it or choose another port",
    errno.EADDRNOTAVAIL: "this host has no such address: see `ip address`",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one",
}


@asynccontextmanager
async def serve_http(
    application: web.Application, address: Endpoint, purpose: str
) -> AsyncIterator[Endpoint]:
    """Serve an application while the context is entered.

    Args:
        application: What to serve.
        address: Where to listen; port 0 takes any.
        purpose: What is served, for the text of the error.

    Yields:
        The address, with the port that was taken.

    Raises:
        BindError: On entering, when the address cannot be listened on.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise bind_error(address, purpose, error) from None
        yield Endpoint.of(runner.addresses[0])
    finally:
        await runner.cleanup()


def bind_error(address: Endpoint, purpose: str, error: OSError) -> BindError:
    """The error for an address that cannot be bound: what was wanted there, why not, what to do.

    Args:
        address: The address.
        purpose: What it is for.
        error: The kernel's error, also as asyncio words it.
    """
    cause = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another address")
    return BindError(f"cannot listen on {address} for {purpose}: {cause}; {remedy}")
