"""The interface of the clients that are written in Python."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from tests.lab.clients import NEGOTIATED

CHANNELS = EVENTS, _ = ("oai-events", "echo")


def negotiated() -> int | None:
    """The stream of the events channel that both sides make; None where a message opens it."""
    stream = os.environ.get(NEGOTIATED)
    return int(stream) if stream else None


def emit(event: str, at: float | None = None, **content: Any) -> None:
    """Write an event.

    Args:
        event: Its name.
        at: When it was, in milliseconds since 1970; now by default.
        content: What else is in it.
    """
    line = {"event": event, "at": time.time() * 1000 if at is None else at, **content}
    print(json.dumps(line), flush=True)  # noqa: T201  # this is the program's output


async def commands() -> AsyncIterator[dict[str, Any]]:
    """The commands, until the input ends or a hang-up."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if command["command"] == "hangup":
            return
        yield command
