"""What an agent and its privileged helper say: a packet of JSON each way, descriptors beside it.

JSON has no objects but those that it is read as, so reading it runs nothing.
"""

import array
import errno
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

MOST = 1 << 17  # bytes of a packet; the kernel's usual buffer of a socket has room for it
_MOST_FILES = 4
_INT = array.array("i").itemsize


def send(connection: socket.socket, message: Mapping[str, Any], files: Sequence[int] = ()) -> None:
    """Send a message.

    Args:
        connection: A connected Unix socket of SOCK_SEQPACKET.
        message: What JSON can hold.
        files: Descriptors that the other end has open as well then.

    Raises:
        OSError: The other end has gone; or with EMSGSIZE, the message is too large, and none of it
            was sent.
    """
    data = json.dumps(message).encode()
    if len(data) > MOST:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    socket.send_fds(connection, [data], files, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message, and the descriptors that came with it, which are the caller's.

    Raises:
        EOFError: The other end has gone.
        OSError: It cannot be talked to; or with EMFILE, its message was taken and is a message, but
            there was no free file for what came with it.
        ValueError: It says what is no message.
    """
    data, ancillary, flags, _ = connection.recvmsg(
        MOST, socket.CMSG_LEN(_MOST_FILES * _INT), socket.MSG_CMSG_CLOEXEC
    )
    files: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.extend(memoryview(content[: len(content) // _INT * _INT]).cast("i"))
    if not data and not flags & socket.MSG_TRUNC:
        raise EOFError
    message = None if flags & socket.MSG_TRUNC else _read(data)
    if isinstance(message, dict) and not flags & socket.MSG_CTRUNC:
        return message, files
    for fd in files:
        os.close(fd)
    if isinstance(message, dict):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    raise ValueError("no message")


def _read(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
