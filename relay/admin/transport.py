"""The admin socket: a Unix socket on which the agent tells what it does.

A question is a JSON line. So is the answer, or it comes in pieces: all but the last line say
``"more": true``, and lists of the same name belong together.
"""

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from relay import linux
from relay.admin.place import default_path, require_nobody, unusable
from relay.admin.question import TIMEOUT, silent
from relay.admin.question import ask as ask  # noqa: PLC0414  # for those who serve, too
from relay.errors import AdminError

MAX_LINE = 1 << 16
MAX_PIECE = 1 << 24  # of an answer, which may hold a hundred flows
# Two that start take turns, of a millisecond each.
LOCK_TIMEOUT, LOCK_POLL = 2.0, 0.01  # seconds
_BACKLOG = 100  # who connects and is not accepted yet

Handler = Callable[[Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]  # the pieces
# Of a command that has the connection for itself from then on, and closes it.
Conversation = Callable[[Mapping[str, Any], socket.socket], Awaitable[None]]


class AdminServer:
    """An admin socket that is being served, until it is closed or its context left.

    Args:
        path: Where it is.
        at: Where it is until `take_place`.
        server: What serves it.
    """

    def __init__(self, path: Path, at: Path, server: asyncio.Server) -> None:
        self._path = path
        self._at = at
        self._inode = _inode(at)
        self._server = server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    def take_place(self) -> None:
        """Be where it belongs, in the place of an agent that hands over; again is fine.

        Raises:
            AdminError: That is not possible.
        """
        if self._at == self._path:
            return
        try:
            self._at.replace(self._path)
        except OSError as error:
            raise AdminError(unusable(self._path, error)) from None
        self._at = self._path

    def close(self) -> None:
        """Stop serving, and remove the socket, unless somebody else's is there by now."""
        # Removed while it answers: nobody takes it for one that is left over, and replaces it.
        if self._inode is not None and _inode(self._at) == self._inode:
            self._at.unlink(missing_ok=True)
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed."""
        await self._server.wait_closed()


async def serve(
    path: Path,
    handlers: Mapping[str, Handler],
    conversations: Mapping[str, Conversation] = MappingProxyType({}),
    *,
    beside: bool = False,
) -> AdminServer:
    """Answer `{"command": NAME, ...}` with the pieces that the handler of that name yields.

    Args:
        path: Where.
        handlers: The commands by name.
        conversations: Those that have the connection for themselves.
        beside: Whether another agent is there, until `AdminServer.take_place`.

    Raises:
        AdminError: The path cannot be used, or another agent answers there.
    """
    at = path.with_name(f"{path.name}~") if beside else path
    try:
        listener = _listener(at)
    except OSError as error:
        raise AdminError(unusable(path, error)) from None
    server = await asyncio.start_unix_server(
        lambda reader, writer: _answer(reader, writer, handlers, conversations),
        sock=listener,
        limit=MAX_LINE,
        start_serving=False,
    )
    serving = AdminServer(path, at, server)
    try:
        await server.start_serving()
    except BaseException:  # cancelled: nobody else knows of the server and its path
        serving.close()
        raise
    return serving


def first_piece(path: Path, command: str) -> dict[str, Any]:
    """The first piece of an agent's answer alone; what would follow is not waited for.

    Raises:
        AdminError: No agent answers there, or it does not answer in time.
    """

    async def first() -> dict[str, Any]:
        async with aclosing(pieces(path, command)) as answer:
            return await anext(answer)

    return asyncio.run(first())


async def pieces(
    path: Path, command: str, **fields: object
) -> AsyncGenerator[dict[str, Any], None]:
    """Ask the agent behind a socket without blocking, and give its answer piece by piece.

    Args:
        path: The socket.
        command: What is asked.
        fields: What belongs to the command.

    Raises:
        AdminError: No agent answers there, or it does not answer in time.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_PIECE)
        try:
            writer.write(json.dumps({"command": command} | fields).encode() + b"\n")
            more = True
            while more:
                async with asyncio.timeout(TIMEOUT):
                    piece = json.loads(await reader.readline())
                more = piece.pop("more", False)
                yield piece
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        raise silent(path, error) from None


def _listener(path: Path) -> socket.socket:
    if path.parent == default_path("").parent:
        # Others pass through that of root to what is theirs, and list and write nothing.
        mode = 0o700 if os.geteuid() else 0o711
        path.parent.mkdir(mode=mode, parents=True, exist_ok=True)
    elif not path.parent.exists():  # somebody has named it, and root could make what is mistyped
        raise AdminError(f"there is no directory {path.parent}; choose another with --admin")
    if path.parent.stat().st_uid not in (os.geteuid(), 0):
        raise AdminError(f"{path.parent} belongs to somebody else; choose another with --admin")
    with _turn(path):
        require_nobody(path)
        if path.exists() and not path.is_socket():
            raise AdminError(f"{path} is a file of another kind; choose another with --admin")
        path.unlink(missing_ok=True)  # left by an agent that was killed
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(path))
            path.chmod(0o600)
            # Before anybody else looks: a socket that does not listen is taken for a left one.
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    return listener


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Let no other agent look whether the path is free, or take it, meanwhile.

    Raises:
        AdminError: Another one takes too long.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + LOCK_TIMEOUT
    try:
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AdminError(
                        f"another process holds a lock on {path.parent}: stop it, or choose "
                        "another path with --admin"
                    ) from None
                time.sleep(LOCK_POLL)
        yield
    finally:
        os.close(directory)


def _inode(path: Path) -> tuple[int, int] | None:
    """What is at a path, as no other file is; None where there is nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handlers: Mapping[str, Handler],
    conversations: Mapping[str, Conversation],
) -> None:
    try:
        while line := await reader.readline():
            if not _is_trusted(writer.get_extra_info("socket")):
                writer.write(b'{"error": "only the user of the agent, and root, may ask it"}\n')
                await writer.drain()
                return
            request, command = _command(line)
            if command in conversations:
                await conversations[command](request, _taken(writer))
                return
            async for piece in _marked(_reply(request, handlers.get(command), handlers)):
                writer.write(json.dumps(piece).encode() + b"\n")
                await writer.drain()
    except (ConnectionError, ValueError):  # gone, or a line without an end
        pass
    finally:
        writer.close()


def _is_trusted(connection: socket.socket) -> bool:
    """Whether root or this process's user is at the other end, whatever a socket's mode is."""
    _, user = linux.peer_of(connection)
    return user in (0, os.geteuid())


async def _marked(pieces: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    """The same pieces, of which all but the last say that there are more."""
    last = None
    async for piece in pieces:
        if last is not None:
            yield {**last, "more": True}
        last = piece
    if last is not None:
        yield last


def _command(line: bytes) -> tuple[Mapping[str, Any], str]:
    """A question, and the command in it; no command where it is none."""
    try:
        request = json.loads(line)
        return request, str(request["command"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}, ""


def _taken(writer: asyncio.StreamWriter) -> socket.socket:
    """The connection, of which the event loop reads nothing any more."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # which every socket's has
    connection: socket.socket = writer.get_extra_info("socket").dup()
    return connection


async def _reply(
    request: Mapping[str, Any], handler: Handler | None, handlers: Mapping[str, Handler]
) -> AsyncIterator[Mapping[str, Any]]:
    if handler is None:
        yield {"error": f"unknown command; known are {', '.join(sorted(handlers))}"}
        return
    try:
        async for piece in handler(request):
            yield piece
    except AdminError as error:
        yield {"error": str(error)}
