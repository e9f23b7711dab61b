"""The admin socket: a Unix socket on which the agent tells what it does.

A question is a JSON line. So is the answer, or it comes in pieces: all but the last line say
``"more": true``, and lists of the same name belong together.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from relay.admin.place import require_nobody
from relay.errors import AdminError

MAX_LINE = 1 << 16
MAX_PIECE = 1 << 24  # of an answer, which may hold a hundred flows
TIMEOUT = 5.0  # seconds for an agent to answer

Handler = Callable[[Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]  # the pieces


async def serve(path: Path, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Answer `{"command": NAME, ...}` with the pieces that the handler of that name yields.

    Raises:
        AdminError: The path cannot be used, or another agent answers there.
    """
    try:
        listener = _listener(path)
    except OSError as error:
        raise AdminError(f"cannot listen on {path}: {error.strerror or error}") from None
    server = await asyncio.start_unix_server(
        lambda reader, writer: _answer(reader, writer, handlers),
        sock=listener,
        limit=MAX_LINE,
        start_serving=False,
    )
    try:
        await server.start_serving()
    except BaseException:  # cancelled: nobody else knows of the server and its path
        server.close()
        _remove(path)
        raise
    return server


def ask(path: Path, command: str, timeout: float = TIMEOUT, **fields: object) -> dict[str, Any]:
    """Ask the agent behind a socket.

    Args:
        path: The socket.
        command: What is asked.
        timeout: How long to wait for the answer, in seconds.
        fields: What belongs to the command.

    Raises:
        AdminError: No agent answers there, or it says that it cannot do this.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command} | fields).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = _joined(answers)
    except (OSError, ValueError) as error:
        raise _silent(path, error) from None
    if "error" in answer:
        raise AdminError(str(answer["error"]))
    return answer


def first_piece(path: Path, command: str) -> dict[str, Any]:
    """The first piece of an agent's answer alone; what would follow is not waited for.

    Raises:
        AdminError: No agent answers there, or it does not answer in time.
    """

    async def first() -> dict[str, Any]:
        async with aclosing(pieces(path, command)) as answer:
            return await anext(answer)

    return asyncio.run(first())


async def pieces(path: Path, command: str) -> AsyncGenerator[dict[str, Any], None]:
    """Ask the agent behind a socket without blocking, and give its answer piece by piece.

    Raises:
        AdminError: No agent answers there, or it does not answer in time.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_PIECE)
        try:
            writer.write(json.dumps({"command": command}).encode() + b"\n")
            more = True
            while more:
                async with asyncio.timeout(TIMEOUT):
                    piece = json.loads(await reader.readline())
                more = piece.pop("more", False)
                yield piece
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        raise _silent(path, error) from None


def _silent(path: Path, error: OSError | ValueError) -> AdminError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, PermissionError):
        reason += "; run this as its user"
    return AdminError(f"no agent answers at {path}: {reason or 'it took too long'}")


def _listener(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid not in (os.geteuid(), 0):
        raise AdminError(f"{path.parent} belongs to somebody else; choose another with --admin")
    require_nobody(path)
    if path.exists() and not path.is_socket():
        raise AdminError(f"{path} is a file of another kind; choose another with --admin")
    _remove(path)  # left by an agent that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]
) -> None:
    try:
        while line := await reader.readline():
            async for piece in _marked(_reply(line, handlers)):
                writer.write(json.dumps(piece).encode() + b"\n")
                await writer.drain()
    except (ConnectionError, ValueError):  # gone, or a line without an end
        pass
    finally:
        writer.close()


async def _marked(pieces: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    """The same pieces, of which all but the last say that there are more."""
    last = None
    async for piece in pieces:
        if last is not None:
            yield {**last, "more": True}
        last = piece
    if last is not None:
        yield last


async def _reply(line: bytes, handlers: Mapping[str, Handler]) -> AsyncIterator[Mapping[str, Any]]:
    try:
        request = json.loads(line)
        handler = handlers[request["command"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        yield {"error": f"unknown command; known are {', '.join(sorted(handlers))}"}
        return
    try:
        async for piece in handler(request):
            yield piece
    except AdminError as error:
        yield {"error": str(error)}


def _joined(lines: Iterable[bytes]) -> dict[str, Any]:
    """An answer from its pieces; ValueError when its end is missing."""
    answer: dict[str, Any] = {}
    for line in lines:
        piece = json.loads(line)
        if not isinstance(piece, dict):
            raise ValueError("this is no answer")  # noqa: TRY004  # of whoever listens there
        more = piece.pop("more", False)
        for name, value in piece.items():
            if isinstance(value, list):
                answer.setdefault(name, []).extend(value)
            else:
                answer[name] = value
        if not more:
            return answer
    raise ValueError("the answer has no end")
