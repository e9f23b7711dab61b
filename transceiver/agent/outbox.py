"""Events on their way to a client: in their order, and not more than it takes."""

import asyncio
from collections import deque
from typing import Any

from relay.jsontext import as_json

#: Characters that may wait before whoever makes them has to: 4 s of speech.
ENOUGH = 1 << 18


class Outbox:
    """A queue with one reader."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._size = 0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    def put(self, event: dict[str, Any]) -> None:
        """Have an event sent, if it is not the end. Who makes many asks for `room` between them."""
        if self._ended:
            return
        message = as_json(event)
        self._waiting.append(message)
        self._size += len(message)
        self._more.set()
        if self._size > ENOUGH:
            self._room.clear()

    def end(self) -> None:
        """After what is there, there is no more."""
        self._ended = True
        self._more.set()

    async def room(self) -> None:
        """Wait until the client has taken enough; at least until others had their turn."""
        await asyncio.sleep(0)
        await self._room.wait()

    async def next(self) -> str | None:
        """The next message; None at the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._more.clear()
            await self._more.wait()
        message = self._waiting.popleft()
        self._size -= len(message)
        if self._size <= ENOUGH:
            self._room.set()
        return message
