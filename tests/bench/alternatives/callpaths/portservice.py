"""Icelane's transceiver, changed to open a UDP port for each session: calls without a relay.

It takes calls at the route of Icelane's signaling, and tells a client the port of its session.
"""

import argparse
import asyncio
import secrets
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from aiohttp import web

from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.callid import CALLS
from transceiver.backend import EchoBackend
from transceiver.calls import CallRequest, Calls
from transceiver.errors import OfferError
from transceiver.mux import Mux

_TARGET = Target(cluster=1, slot=1, generation=1)


class PortService:
    """The HTTP side.

    Args:
        host: The address that sessions have their ports on.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._keys = KeyRing.generate(secrets.token_bytes)
        self._calls: dict[str, tuple[Calls, ExitStack]] = {}

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        application.router.add_post(CALLS, self._place)
        application.router.add_post(CALLS + "/{call}/hangup", self._hang_up)
        return application

    async def _place(self, request: web.Request) -> web.Response:
        with ExitStack() as stack:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((self._host, 0))
            sock.setblocking(False)
            mux = Mux(sock, self._keys, _TARGET)
            mux.open()
            stack.callback(mux.close)
            calls = Calls(mux, self._keys, _TARGET, capacity=1, backend=EchoBackend)
            calls.open()
            candidate = Candidate(Endpoint.of(sock.getsockname()))
            try:
                call, answer = calls.create(CallRequest(await request.text(), [candidate]))
            except OfferError as error:
                return web.json_response({"error": {"message": str(error)}}, status=400)
            self._calls[call.id] = (calls, stack.pop_all())
        headers = {"Location": f"{CALLS}/{call.id}"}
        return web.Response(text=answer, status=201, headers=headers)

    async def _hang_up(self, request: web.Request) -> web.Response:
        name = request.match_info["call"]
        if name not in self._calls:
            return web.Response(status=404)
        calls, stack = self._calls.pop(name)
        with stack:
            statistics = calls.end(name)
            await calls.close()
        return web.json_response(statistics or {})


async def _main(listen: Endpoint, host: str) -> None:
    async with serve_http(PortService(host).application(), listen, "the calls"):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", type=Endpoint.parse)
    parser.add_argument("host")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _parse(sys.argv[1:])
    asyncio.run(_main(given.listen, given.host))
