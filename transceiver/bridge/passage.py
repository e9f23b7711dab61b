"""A session of a service without WebRTC: two WebSockets, and all that comes passes."""

import asyncio

import aiohttp
from aiohttp import web

from transceiver.bridge.link import Socket, close

_BROKE = aiohttp.WSCloseCode.INTERNAL_ERROR
_OWN_CODES = range(3000, 5000)  # of applications (RFC 6455, section 7.4.2)

AnySocket = Socket | web.WebSocketResponse


async def pass_both_ways(client: web.WebSocketResponse, service: Socket) -> int:
    """Pass messages until either side ends; returns the code to close the client's with.

    Whoever does not read is waited for, so nothing piles up here.
    """
    ways = [
        asyncio.create_task(_pass(service, client)),
        asyncio.create_task(_pass(client, service)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in ways:
            each.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        # A service may keep a session whose client has not said goodbye.
        said_goodbye = client.close_code == aiohttp.WSCloseCode.OK
        going = aiohttp.WSCloseCode.OK if said_goodbye else aiohttp.WSCloseCode.GOING_AWAY
        await close(service, going)
    code = service.close_code
    if code is None or code in _OWN_CODES or code == aiohttp.WSCloseCode.OK:
        return code or aiohttp.WSCloseCode.OK
    return _BROKE


async def _pass(source: AnySocket, sink: AnySocket) -> None:
    try:
        async for message in source:
            if message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
    except (ConnectionError, aiohttp.ClientError):
        return  # the other side is gone
