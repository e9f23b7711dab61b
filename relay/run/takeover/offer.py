"""An agent that runs, towards one that is to take its place."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from relay import linux
from relay.core.handoff import LAYOUT
from relay.errors import TakeoverError
from relay.run.takeover.channel import Channel
from relay.run.takeover.handed import HandedSockets

COMMAND = "take_over"  # at the admin socket
# For how long at most an agent forwards nothing while its successor takes its flows. Datagrams
# wait in the sockets meanwhile, and find room there for far longer than it takes.
ELSEWHERE = "it is in another network namespace"
HOLD_SECONDS = 3.0

_log = logging.getLogger(__name__)


class Offer:
    """What an agent offers its successor: its sockets, and then its place.

    Until the successor says that it serves, the agent has lost nothing: if that one ends before, or
    takes too long, it goes on, with what has come meanwhile.

    Args:
        workers: How many workers the relay has.
        sockets: Gives the sockets that the successor has from the beginning.
        give: Sends all else. The agent does nothing else meanwhile.
        leave: Lets go of everything, as the successor serves from now on.
        about: Tells the successor what it must know in advance.
        asked: Called when somebody begins to take over.
        resumed: Called when he does not.
    """

    def __init__(
        self,
        *,
        workers: int,
        sockets: Callable[[], HandedSockets],
        give: Callable[[Channel], None],
        leave: Callable[[], None],
        about: Callable[[], Mapping[str, Any]],
        asked: Callable[[], None] = lambda: None,
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        self._workers = workers
        self._sockets = sockets
        self._give = give
        self._leave = leave
        self._about = about
        self._asked = asked
        self._resumed = resumed

    async def serve(self, request: Mapping[str, Any], connection: socket.socket) -> None:
        """Serve one that asks to take over; see `relay.admin.transport.Conversation`."""
        channel = Channel(connection, HOLD_SECONDS)
        try:
            pid, user = channel.peer()
            if refusal := self._refusal(request, user):
                with suppress(TakeoverError):
                    channel.send({"error": refusal})
                return
            self._asked()
            if await self._hand_over(channel, connection):
                _log.info("process %d has taken over, and this one ends", pid)
                return
            _log.warning("process %d wanted to take over, and did not; this one goes on", pid)
            self._resumed()
        finally:
            channel.close()

    async def _hand_over(self, channel: Channel, connection: socket.socket) -> bool:
        """Whether the successor serves in the end."""
        sockets = self._sockets()
        files = [each.fileno() for _, _, each in sockets]
        try:
            channel.send({**sockets.describe(), **self._about()}, files)
        except TakeoverError as error:
            _log.warning("%s", error)
            return False
        await _until_it_says_something(connection)
        return self._hold(channel)

    def _refusal(self, request: Mapping[str, Any], user: int) -> str | None:
        if user != os.geteuid():
            return "its user is another one"
        if request.get("netns") != linux.netns_inode():
            return ELSEWHERE
        if request.get("layout") != LAYOUT:
            return "it is of another version, which describes flows in another way"
        if request.get("workers") != self._workers:
            return f"it has {self._workers} workers"
        return None

    def _hold(self, channel: Channel) -> bool:
        """Do nothing but hand over, without ever returning to the event loop meanwhile.

        Returns:
            Whether the successor serves.
        """
        try:
            channel.receive()
            channel.send({"held": True})
            self._give(channel)
            channel.receive()
        except TakeoverError as error:
            if not channel.listen_no_more():
                _log.warning("%s", error)
                return False
        self._leave()
        return True


async def _until_it_says_something(connection: socket.socket) -> None:
    """Wait until a socket can be read, or has ended."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
