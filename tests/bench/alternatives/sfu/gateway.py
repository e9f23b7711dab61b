"""Signaling for calls through an SFU: a client calls Janus, and Janus calls the transceiver.

It takes calls where Icelane's signaling would, at the same route. For each it makes Janus, in the
middle, the other end of two peer connections: one answers the client's offer, the other makes an
offer that goes to Icelane's signaling as that of any client. So both ends are those of Icelane.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from relay.caller.client import SignalingClient
from relay.caller.errors import CallError
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from signaling.callid import CALLS
from tests.bench.alternatives.sfu.janus import PROTOCOL, Janus, JanusError

_TRICKLE_OFF = {"trickle": False}  # all candidates stand in the description


@dataclass(frozen=True, slots=True)
class _Call:
    legs: tuple[int, int]
    transceiver: SignalingClient


class Gateway:
    """The HTTP side.

    Args:
        janus: What media goes through.
        http: For requests to Icelane's signaling.
        signaling: Its base URL.
    """

    def __init__(self, janus: Janus, http: aiohttp.ClientSession, signaling: URL) -> None:
        self._janus = janus
        self._http = http
        self._signaling = signaling
        self._calls: dict[str, _Call] = {}

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        application.router.add_post(CALLS, self._place)
        application.router.add_post(CALLS + "/{call}/hangup", self._hang_up)
        return application

    async def _place(self, request: web.Request) -> web.Response:
        name = "rtc_" + secrets.token_hex(8)
        transceiver = SignalingClient(self._http, self._signaling.with_path(CALLS))
        try:
            legs = (await self._janus.attach(), await self._janus.attach())
            self._calls[name] = _Call(legs, transceiver)
            answer = await self._connect(name, self._calls[name], await request.text())
        except (JanusError, CallError) as error:
            return web.json_response({"error": {"message": str(error)}}, status=502)
        return web.Response(text=answer, status=201, headers={"Location": f"{CALLS}/{name}"})

    async def _connect(self, name: str, call: _Call, offer: str) -> str:
        """Join the two legs; gives the answer to the client's offer."""
        caller, callee = call.legs
        for leg, who in ((caller, f"{name}-client"), (callee, name)):
            await self._janus.say(leg, {"request": "register", "username": who})
            await self._janus.event(leg, "registered")
        description = {"type": "offer", "sdp": offer, **_TRICKLE_OFF}
        await self._janus.say(caller, {"request": "call", "username": name}, description)
        incoming = await self._janus.event(callee, "incomingcall")
        answer = await call.transceiver.offer(incoming["jsep"]["sdp"])
        description = {"type": "answer", "sdp": answer, **_TRICKLE_OFF}
        await self._janus.say(callee, {"request": "accept"}, description)
        accepted = await self._janus.event(caller, "accepted")
        sdp: str = accepted["jsep"]["sdp"]
        return sdp

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._calls.pop(request.match_info["call"], None)
        if call is None:
            return web.Response(status=404)
        for leg in call.legs:
            await self._janus.detach(leg)
        return web.json_response(await call.transceiver.hang_up() or {})


async def _main(listen: Endpoint, janus: URL, signaling: URL) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        http.ws_connect(janus, protocols=[PROTOCOL]) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        session, ready = Janus(socket), asyncio.Event()
        tasks.create_task(session.run(ready))
        await ready.wait()
        gateway = Gateway(session, http, signaling)
        async with serve_http(gateway.application(), listen, "the gateway"):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("listen", type=Endpoint.parse)
    parser.add_argument("janus", type=URL)
    parser.add_argument("signaling", type=URL)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _parse(sys.argv[1:])
    asyncio.run(_main(given.listen, given.janus, given.signaling))
