"""A client's side of TCP connections, for tests."""

import asyncio
import socket
import struct
from typing import Self

from relay.forwarding.tcp import bind_tcp
from relay.wire.endpoint import Endpoint
from relay.wire.framing import FrameReader, frame

WAIT = 5.0  # seconds until what must come has come
SMALL = 4_096  # bytes: the smallest buffer of a socket that Linux gives


def listening(host: str = "127.0.0.1") -> tuple[socket.socket, Endpoint]:
    """A socket that listens at a free port."""
    listener = bind_tcp(Endpoint(host, 0))
    return listener, Endpoint.of(listener.getsockname())


class TcpClient:
    """A client on the loopback.

    Args:
        to: Where it connects.
        local: Where from; port 0 takes any.
        takes_little: Whether it has as little room for what it does not read as can be had.
    """

    def __init__(
        self, to: Endpoint, local: Endpoint | None = None, *, takes_little: bool = False
    ) -> None:
        self.tcp = socket.socket(to.family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if takes_little:
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        if local is not None:
            self.tcp.bind(local)
        self.tcp.settimeout(WAIT)
        self.tcp.connect(to)
        self.tcp.setblocking(False)
        self.address = Endpoint.of(self.tcp.getsockname())
        self._frames = FrameReader(65_535)
        self._received: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tcp.close()

    async def send(self, *datagrams: bytes) -> None:
        await self.send_bytes(b"".join(map(frame, datagrams)))

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.tcp, data), WAIT)

    async def receive(self) -> bytes:
        """The next datagram.

        Raises:
            ConnectionResetError: There is none: the relay has ended the connection.
        """
        while not self._received:
            loop = asyncio.get_running_loop()
            data = await asyncio.wait_for(loop.sock_recv(self.tcp, 65_536), WAIT)
            if not data:
                raise ConnectionResetError
            self._received += self._frames.feed(data)
        return self._received.pop(0)

    async def is_ended(self) -> bool:
        """Whether the relay ends the connection, and sends nothing more."""
        try:
            await self.receive()
        except (ConnectionResetError, TimeoutError) as error:
            return isinstance(error, ConnectionResetError)
        return False

    def reset(self) -> None:
        """End the connection as a client does that crashes."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tcp.close()
