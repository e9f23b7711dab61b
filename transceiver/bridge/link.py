"""The WebSocket to a call's service: made when the call is, and made again when it ends."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
from aiohttp import web

from relay.supervision import Backoff, Faults
from transceiver.bridge.uplink import Uplink
from transceiver.resume import GOES_ON_ELSEWHERE

CONNECT_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before it is made again
#: Bytes of a message that a service may send: events with several MiB of sound are common.
MAX_MESSAGE = 16 << 20
#: Seconds between two pings; without an answer within half of it the connection is given up.
HEARTBEAT = 20.0
# A service may send so many events in such a time. Speech is about 60 a second of its sound, and
# comes up to ten times as fast as it is played.
_BURST, _BURST_SECONDS = 64, 0.032
_LONGEST_REASON = 200  # characters

CLOSE_SECONDS = 1.0  # that the other side has to say goodbye
#: Seconds that a service has for its first message when it is connected again.
GREETING_SECONDS = 2.0
Socket = aiohttp.ClientWebSocketResponse
Connect = Callable[[], Awaitable[Socket]]


async def close(
    socket: Socket | web.WebSocketResponse,
    code: int = aiohttp.WSCloseCode.OK,
    reason: bytes = b"",
) -> None:
    """Close a WebSocket within `CLOSE_SECONDS`, also where the other side goes on sending.

    aiohttp waits so long for each message; when it is interrupted it drops the connection.
    """
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code=code, message=reason)


class Listener(Protocol):
    """Whose service it is."""

    def connected(self) -> list[str]:
        """It is connected; returns what is to be sent before all else."""

    def greeted(self) -> list[str]:
        """It is connected again, and has said so or does not; returns what it is to know first."""

    def received(self, message: str | bytes) -> None:
        """A message came."""

    def lost(self, why: str) -> None:
        """It is not connected any more, or could not be; why, in words. It is tried again."""

    def taken(self) -> None:
        """Its session goes on in another connection; this one is not made again."""


class _Nobody:
    """Whose service it was is gone."""

    def connected(self) -> list[str]:
        return []

    def greeted(self) -> list[str]:
        return []

    def received(self, message: str | bytes) -> None:
        pass

    def lost(self, why: str) -> None:
        pass

    def taken(self) -> None:
        pass


class Link:
    """Keeps the connection to a service until it is closed.

    Args:
        connect: Connects.
        listener: Gets what comes.
        faults: Where it is noted what raises and should not.
    """

    def __init__(self, connect: Connect, listener: Listener, faults: Faults) -> None:
        self.uplink = Uplink()
        self._connect = connect
        self._listener: Listener = listener
        self._faults = faults
        self._work = asyncio.Event()  # there is something to send
        self._farewell = aiohttp.WSCloseCode.OK
        self._was_connected = False  # whether it ever was
        self._task = asyncio.create_task(self._until_closed())

    def send_sound(self, text: str) -> None:
        """Send an event of sound, when the service takes it and while it is not old."""
        self.uplink.add_sound(text)
        self._work.set()

    def send(self, text: str) -> bool:
        """Send an event when the service takes it; False if too many wait."""
        taken = self.uplink.add(text)
        self._work.set()
        return taken

    def close(self, *, kept: bool = False) -> None:
        """End the connection, now.

        Args:
            kept: Whether somebody may go on with its session.
        """
        if kept:
            self._farewell = aiohttp.WSCloseCode.GOING_AWAY
        self._task.cancel()
        self._listener = _Nobody()  # it holds on to this, and its memory is to be free now

    async def _until_closed(self) -> None:
        # A task that ends cancelled would hold on to the frames in which it was, and so to this.
        with contextlib.suppress(asyncio.CancelledError):
            await self._keep()

    async def _keep(self) -> None:
        backoff, is_told = Backoff(FIRST_PAUSE, LONGEST_PAUSE), False
        while True:
            began, was_connected = time.monotonic(), False
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    socket = await self._connect()
                was_connected = True
                why = await self._serve(socket)
                if socket.close_code == GOES_ON_ELSEWHERE:
                    self._listener.taken()
                    return
            except TimeoutError:
                why = f"it did not answer within {CONNECT_SECONDS:.0f} s"
            except aiohttp.WSServerHandshakeError as error:
                why = f"it answered {error.status} {error.message}"[:_LONGEST_REASON]
            except (aiohttp.ClientError, OSError, ValueError) as error:
                # The address may have a key in it, so errors are told by their kind.
                why = _reason(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is of this connection
                self._faults.note("a connection to a back end", error)
                why = "it broke"
            if was_connected or not is_told:
                self._listener.lost(why)
            is_told = True
            await asyncio.sleep(backoff.pause(time.monotonic() - began))

    async def _serve(self, socket: Socket) -> str:
        """Pass messages both ways until the connection ends; returns why it did."""
        greeting = asyncio.Event() if self._was_connected else None
        self._was_connected = True
        first = self._listener.connected()
        writing = asyncio.create_task(self._write(socket, first, greeting))
        try:
            await self._read(socket, greeting)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await close(socket, self._farewell)
        return f"it closed the connection ({_closing(socket)})"

    async def _read(self, socket: Socket, greeting: asyncio.Event | None) -> None:
        count, began = 0, time.monotonic()
        async for message in socket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self._listener.received(message.data)
                if greeting is not None:
                    greeting.set()
            count += 1
            if count == _BURST:
                # Others have their turns, also where there is always one message more.
                pause = began + _BURST_SECONDS - time.monotonic()
                await asyncio.sleep(max(0.0, pause))
                count, began = 0, time.monotonic()

    async def _write(
        self, socket: Socket, first: list[str], greeting: asyncio.Event | None
    ) -> None:
        try:
            for text in first:
                await socket.send_str(text)
            if greeting is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GREETING_SECONDS):
                        await greeting.wait()
                for text in self._listener.greeted():
                    await socket.send_str(text)
            while True:
                self._work.clear()
                while len(self.uplink):
                    await socket.send_str(self.uplink.pop())
                await self._work.wait()
        except (ConnectionError, aiohttp.ClientError):
            await close(socket)  # the reader ends, and tells


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate cannot be verified, or it does not speak TLS"
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return f"it cannot be reached: {os.strerror(number) if number else 'no connection'}"
        case aiohttp.InvalidURL():
            return "its address is no URL"
        case _:
            return f"it cannot be talked to ({type(error).__name__})"


def _closing(socket: Socket) -> str:
    code = socket.close_code
    if code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
        return f"a message had more than {MAX_MESSAGE} bytes"
    error = socket.exception()
    return f"{type(error).__name__}" if error is not None else f"code {code}"
