"""What workers say of their flows, as one relay; see `relay.admin.flowcommands`."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from relay.admin.flowcommands import read_filter, until_gone
from relay.admin.transport import MAX_PIECE, Conversation, Handler
from relay.run.workers.aggregate import answer_of

RETRY_AFTER = 0.5  # seconds until a worker that is being started again is asked again


class WorkerFlows:
    """Asks all workers of a relay for their flows.

    Args:
        paths: Their admin sockets.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The commands by name."""
        return {"flows": self._flows, "flow": self._flow, "close": self._close}

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """Those that have the connection for themselves."""
        return {"watch": self._watch}

    async def _flows(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        read_filter(request)  # is refused here, once
        for path in self._paths:
            async for piece in answer_of(path, "flows", filter=request.get("filter", {})):
                yield piece
        yield {"entries": []}

    async def _flow(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        for path in self._paths:
            async for piece in answer_of(path, "flow", flow=request.get("flow")):
                if piece.get("known"):
                    yield piece
                    return
        yield {"known": False}

    async def _close(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        closed: list[str] = []
        for path in self._paths:
            async for piece in answer_of(path, "close", flows=request.get("flows")):
                closed += piece.get("closed", [])
        yield {"closed": closed}

    async def _watch(self, request: Mapping[str, Any], connection: socket.socket) -> None:
        with connection:
            waiting = set(self._paths)
            telling = [
                asyncio.create_task(_pass_on(path, request, connection, waiting))
                for path in self._paths
            ]
            try:
                await until_gone(connection)
            finally:
                for each in telling:
                    each.cancel()
                await asyncio.gather(*telling, return_exceptions=True)


async def _pass_on(
    path: Path, request: Mapping[str, Any], connection: socket.socket, waiting: set[Path]
) -> None:
    """Pass on what a worker tells, and what the one tells that is started in its place.

    Args:
        path: Its admin socket.
        request: What is asked.
        connection: Who asks.
        waiting: The workers that have not begun to tell.
    """
    loop = asyncio.get_running_loop()
    question = json.dumps(request).encode() + b"\n"
    while True:
        with suppress(OSError, ValueError):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_PIECE)
            try:
                writer.write(question)
                while line := await reader.readline():
                    # That they begin is said once, by the last of all.
                    if b'"watching"' not in line or waiting == {path}:
                        await loop.sock_sendall(connection, line)
                    waiting.discard(path)
            finally:
                writer.close()
        await asyncio.sleep(RETRY_AFTER)
