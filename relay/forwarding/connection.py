"""One client's TCP connection: a stream of frames each way, with bounds on both."""

import errno
import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from relay.core.flowtuple import Source
from relay.core.limits import ConnectionLimits
from relay.wire.framing import FrameReader, frame

if TYPE_CHECKING:
    from relay.core.flow import Flow

# As little as is worth a system call: a read of the shortest frames must not keep others waiting.
READ_SIZE = 2_048  # bytes


class Midway(NamedTuple):
    """Where a connection is, as JSON can hold it, with times in seconds of the monotonic clock.

    Attributes:
        source: Who the client is, as hex digits.
        rest: What has come of the next frame, likewise.
        unsent: What waits until the client takes it, likewise.
        heard: When it was opened, or its last frame was complete.
        began: When the frame began that is not complete.
    """

    source: str
    rest: str
    unsent: str
    heard: float
    began: float | None


class Connection:
    """A client's connection.

    Args:
        tcp: Its socket, non-blocking; the connection's owner closes it.
        source: Who the client is.
        limits: Bounds and times.
        now: Monotonic seconds.

    Attributes:
        flows: The flows whose client's side it is: one, and sometimes another that is pending.
    """

    def __init__(
        self, tcp: socket.socket, source: Source, limits: ConnectionLimits, now: float
    ) -> None:
        self.tcp = tcp
        self.source = source
        self.flows: list[Flow] = []
        self._limits = limits
        self._frames = FrameReader(limits.longest)
        self._unsent = bytearray()
        self._heard = now  # when it was opened, or its last frame was complete
        self._began: float | None = None  # when the frame began that is not complete

    @property
    def midway(self) -> Midway:
        """Where it is now."""
        rest, unsent = self._frames.rest.hex(), self._unsent.hex()
        return Midway(self.source.hex(), rest, unsent, self._heard, self._began)

    @property
    def is_behind(self) -> bool:
        """Whether something waits until the client has taken more."""
        return bool(self._unsent)

    def receive(self, now: float) -> Iterable[bytes]:
        """Take some more of the stream; the datagrams that it completes.

        They may end with a `FramingError`: what follows is no stream of frames.

        Raises:
            EOFError: The client has closed it.
            OSError: It is broken.
        """
        try:
            data = self.tcp.recv(READ_SIZE)
        except BlockingIOError:
            return ()
        if not data:
            raise EOFError
        return self._complete(data, now)

    def send(self, datagram: bytes) -> bool:
        """Send a datagram as soon as the client takes it; False when too much waits already.

        A broken connection says so when it is read next.
        """
        data = frame(datagram)
        if self._unsent:
            if len(self._unsent) + len(data) > self._limits.unsent:
                return False
            self._unsent += data
        else:
            self._unsent += data[self._send(data) :]
        return True

    def resume(self, midway: Midway) -> None:
        """Go on where another process has left it.

        Raises:
            ValueError: What is said of it is malformed.
        """
        self._frames = FrameReader(self._limits.longest, bytes.fromhex(midway.rest))
        self._unsent[:] = bytes.fromhex(midway.unsent)
        self._heard, self._began = midway.heard, midway.began

    def flush(self) -> None:
        """Send what waits, as far as the client takes it."""
        del self._unsent[: self._send(self._unsent)]

    def overdue(self, now: float) -> str | None:
        """What the client is too late with, in a word; None when it is not."""
        if not self.flows:
            return "first_frame_late" if now - self._heard > self._limits.first_frame else None
        if self._began is not None and now - self._began > self._limits.first_frame:
            return "frame_late"
        return "idle" if now - self._heard > self._limits.idle else None

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.tcp.send(data)
        except OSError as error:
            return 0 if error.errno == errno.EAGAIN else len(data)

    def _complete(self, data: bytes, now: float) -> Iterator[bytes]:
        for datagram in self._frames.feed(data):
            self._heard, self._began = now, None
            yield datagram
        if not self._frames.is_midway:
            self._began = None
        elif self._began is None:
            self._began = now
