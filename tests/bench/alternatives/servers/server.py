"""A server with many sessions, each an ICE agent of Icelane's transceiver: in a process of its own.

With ``--shared`` they share one port, as in Icelane's transceiver; without, each has a port of its
own on the public address, as in servers that know a session by its port. Sessions last as long as
the process; they are the same after each start, as if it had kept them.
"""

import argparse
import asyncio
import resource
import secrets
import socket
import sys
from collections.abc import Sequence

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.bench.compare.systems.routes import TARGET
from tests.bench.compare.traffic.checks import PASSWORD
from transceiver.commands import Send
from transceiver.datagrams import MAX_DATAGRAM
from transceiver.ice import IceAgent
from transceiver.mux import Mux
from transceiver.plan import Credentials

_SPARE_FILES = 64  # that a process has besides its sessions' sockets


def ufrag(number: int) -> str:
    """The ufrag of the session with a number."""
    return f"s{number:07}"


class Session:
    """A session without media: what is left when only its address counts."""

    __slots__ = ("_sock", "agent")

    def __init__(self, number: int, sock: socket.socket | None = None) -> None:
        self.agent = IceAgent(Credentials(ufrag(number), PASSWORD.decode()))
        self._sock = sock

    def datagram(self, data: bytes, source: Endpoint) -> None:
        """Take media; nobody listens."""

    def reachable(self) -> None:
        """Take note that there is a path."""

    def readable(self) -> None:
        """Read the session's own socket."""
        if self._sock is None:
            return
        data, address = self._sock.recvfrom(MAX_DATAGRAM)
        now = asyncio.get_running_loop().time()
        for command in self.agent.receive(data, Endpoint.of(address), now):
            if isinstance(command, Send):
                self._sock.sendto(command.data, command.destination)


async def serve(first: Endpoint, count: int, *, shared: bool) -> None:
    """Serve until the task is cancelled.

    Args:
        first: The transport address of the first session, or of all.
        count: How many sessions.
        shared: Whether they share it; else each has the port after that of the one before.
    """
    loop = asyncio.get_running_loop()
    if shared:
        sock = _bound(first)
        mux = Mux(sock, KeyRing.generate(secrets.token_bytes), TARGET)
        mux.open()
        for number in range(count):
            mux.bind(ufrag(number), Session(number))
    else:
        for number in range(count):
            sock = _bound(first._replace(port=first.port + number))
            loop.add_reader(sock, Session(number, sock).readable)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _bound(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(endpoint.family, socket.SOCK_DGRAM)
    sock.bind(endpoint)
    sock.setblocking(False)
    return sock


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Endpoint.parse)
    parser.add_argument("count", type=int)
    parser.add_argument("--shared", action="store_true")
    given = parser.parse_args(arguments)
    needed = _SPARE_FILES + (0 if given.shared else given.count)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), max(hard, needed)))
    asyncio.run(serve(given.first, given.count, shared=given.shared))


if __name__ == "__main__":
    _main(sys.argv[1:])
