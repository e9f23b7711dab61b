"""What two agents of one user say to each other: lines of JSON, with open files beside them."""

import array
import json
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from relay import linux
from relay.errors import TakeoverError

MOST_FILES = 250  # in one message; the kernel takes 253 (SCM_MAX_FD in net/scm.h)
_AT_ONCE = 1 << 17  # bytes
_INT = array.array("i").itemsize


class Channel:
    """One end of a connection between two agents.

    Args:
        connection: A connected Unix stream socket; it is closed with the channel.
        seconds: How long one of the methods may take.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._received = bytearray()
        self._files: deque[int] = deque()  # received, and not asked for yet

    def peer(self) -> tuple[int, int]:
        """The process at the other end, and its user, as the kernel knows them."""
        return linux.peer_of(self._connection)

    def send(self, message: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send a message.

        Args:
            message: What JSON can hold.
            files: Descriptors, at most `MOST_FILES`, which the other end has open as well then.

        Raises:
            TakeoverError: The other end has gone, or does not take it in time.
        """
        line = json.dumps({**message, "files": len(files)}).encode() + b"\n"
        deadline = time.monotonic() + self._seconds
        try:
            self._connection.settimeout(self._seconds)
            sent = socket.send_fds(self._connection, [line], files) if files else 0
            self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
            self._connection.sendall(memoryview(line)[sent:])
        except OSError as error:
            raise _broken(error) from None

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message, and the descriptors that came with it, which are the caller's.

        Raises:
            TakeoverError: The other end has gone, says nothing in time, or says something else.
        """
        deadline = time.monotonic() + self._seconds
        while (end := self._received.find(b"\n")) < 0:
            self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
            self._take()
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            message = json.loads(line)
            count = message.pop("files", 0)  # an older agent knows nothing of it
            files = [self._files.popleft() for _ in range(count)]
        except IndexError:
            raise TakeoverError(
                "this process may not open as many files as the other one has open: raise "
                "LimitNOFILE, or ulimit -n"
            ) from None
        except (ValueError, TypeError, AttributeError):
            raise TakeoverError("the other agent says what is no message") from None
        return message, files

    def listen_no_more(self) -> bool:
        """Refuse what the other end would send from now on; whether it has sent something before.

        For one who has waited for too long: after that the other end either has said it, or cannot.
        """
        try:
            self._connection.shutdown(socket.SHUT_RD)
            self._connection.setblocking(False)
            return bool(self._received or self._connection.recv(1))
        except OSError:
            return False

    def close(self) -> None:
        """Close it, and what came and was not asked for; again is fine."""
        self._connection.close()
        while self._files:
            os.close(self._files.popleft())

    def _take(self) -> None:
        try:
            data, ancillary, _, _ = self._connection.recvmsg(
                _AT_ONCE, socket.CMSG_LEN(MOST_FILES * _INT), socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise _broken(error) from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._files.extend(memoryview(content[: len(content) // _INT * _INT]).cast("i"))
        if not data:
            raise TakeoverError("the other agent has ended, or has given up")
        self._received += data


def _broken(error: OSError) -> TakeoverError:
    if isinstance(error, TimeoutError):
        return TakeoverError("the other agent does not answer in time")
    return TakeoverError(f"the other agent cannot be talked to: {error.strerror or error}")
