"""A client of Janus's WebSocket interface, and two legs of a call by its videocall plugin.

The messages are those of Janus 1.1: https://janus.conf.meetecho.com/docs/rest.html and
https://janus.conf.meetecho.com/docs/videocall.html.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from relay.errors import IcelaneError

PROTOCOL = "janus-protocol"
_PLUGIN = "janus.plugin.videocall"
_ANSWER_SECONDS = 10.0
_KEEPALIVE_SECONDS = 20.0  # Janus ends a session of which it has heard nothing for 60 s


class JanusError(IcelaneError):
    """Janus refuses something, or does not answer in time."""


class Janus:
    """A session with Janus over one WebSocket, for any number of calls.

    Args:
        socket: A WebSocket that is open, with `PROTOCOL`.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._legs: dict[int, asyncio.Queue[Mapping[str, Any]]] = {}
        self._session = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Create the session and keep it, until the task is cancelled or Janus ends it.

        Args:
            ready: Set once there is a session.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            self._session = (await self._ask({"janus": "create"}))["data"]["id"]
            ready.set()
            while True:
                await asyncio.sleep(_KEEPALIVE_SECONDS)
                await self._ask({"janus": "keepalive"})

    async def attach(self) -> int:
        """The handle of a new leg.

        Raises:
            JanusError: Janus refuses it.
        """
        handle: int = (await self._ask({"janus": "attach", "plugin": _PLUGIN}))["data"]["id"]
        self._legs[handle] = asyncio.Queue()
        return handle

    async def detach(self, handle: int) -> None:
        """End a leg; one that has ended already is fine."""
        self._legs.pop(handle, None)
        with contextlib.suppress(JanusError):
            await self._ask({"janus": "detach", "handle_id": handle})

    async def say(
        self, handle: int, body: Mapping[str, Any], jsep: Mapping[str, Any] | None = None
    ) -> None:
        """Send a leg's plugin a message, maybe with a session description.

        Raises:
            JanusError: Janus refuses it.
        """
        message = {"janus": "message", "handle_id": handle, "body": body}
        await self._ask(message | ({"jsep": jsep} if jsep else {}))

    async def event(self, handle: int, name: str) -> Mapping[str, Any]:
        """Wait for an event of a leg's plugin; others are skipped. Gives the whole message.

        Raises:
            JanusError: The plugin reports an error, or there is no such event in time.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while True:
                    message = await self._legs[handle].get()
                    if plugin_event(message) == name:
                        return message
        except TimeoutError:
            raise JanusError(f"Janus sends no event {name!r}.") from None

    async def _ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        transaction = str(next(self._numbers))
        answer = self._answers[transaction] = asyncio.get_running_loop().create_future()
        session = {"session_id": self._session} if self._session else {}
        await self._socket.send_json({**message, **session, "transaction": transaction})
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answered: Mapping[str, Any] = await answer
        except TimeoutError:
            raise JanusError(f"Janus does not answer {message['janus']!r}.") from None
        finally:
            del self._answers[transaction]
        if answered["janus"] == "error":
            raise JanusError(f"Janus refuses {message['janus']!r}: {answered['error']['reason']}")
        return answered

    async def _read(self) -> None:
        async for received in self._socket:
            message = json.loads(received.data)
            if message["janus"] == "event" and (leg := self._legs.get(message["sender"])):
                leg.put_nowait(message)
                continue
            answer = self._answers.get(message.get("transaction", ""))
            if answer is not None and not answer.done():
                answer.set_result(message)
        raise JanusError("Janus has closed the connection.")


def plugin_event(message: Mapping[str, Any]) -> str | None:
    """The name of the plugin's event in a message; None if it is about something else.

    Raises:
        JanusError: The plugin reports an error.
    """
    data = message.get("plugindata", {}).get("data", {})
    if "error" in data:
        raise JanusError(f"Janus's plugin reports: {data['error']}")
    event: str | None = data.get("result", {}).get("event")
    return event
