"""A mux on loopback, with sessions and relays, for the tests of it."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from relay.wire.stun import Attribute, Message, MessageClass, unxor_address
from relay.wire.transport import Transport
from transceiver.ice import IceAgent
from transceiver.mux import Mux
from transceiver.plan import Credentials

CLIENT = Endpoint("203.0.113.99", 50000)
STRANGER = Endpoint("198.51.100.7", 1000)
VIP = Endpoint("203.0.113.10", 3478)
PASSWORD = "server-password-of-24-ch"
DTLS = bytes([22, 254, 253]) + bytes(40)
RTP = bytes([128]) + bytes(20)

Check = Callable[..., bytes]
Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Clock:
    """Monotonic and Unix time under the test's control, which begins when the test does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._began = time.time() - self.now

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self._began + self.now

    def set_by(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._began += seconds


@dataclass
class Recorder:
    """A handler that notes what it is told."""

    agent: IceAgent
    clock: Clock
    datagrams: list[bytes] = field(default_factory=list)
    selections: int = 0

    def datagram(self, data: bytes, source: Endpoint) -> None:
        self.datagrams.append(data)
        self.agent.heard(source, self.clock.now)

    def reachable(self) -> None:
        self.selections += 1


Sender = socket.socket | Endpoint


class Bench:
    """A mux on loopback, with sessions and relay sockets."""

    def __init__(self, keys: KeyRing, target: Target, host: str = "127.0.0.1") -> None:
        self.clock = Clock()
        self._host = host
        self.keys = keys
        self.target = target
        self._sockets: list[socket.socket] = []
        sock = self.socket()
        self.address = Endpoint.of(sock.getsockname())
        self.mux = Mux(sock, keys, target, clock=self.clock.monotonic, unix_time=self.clock.unix)
        self._nonce = 0

    def socket(self) -> socket.socket:
        anywhere = Endpoint(self._host, 0)
        sock = socket.socket(anywhere.family, socket.SOCK_DGRAM)
        sock.bind(anywhere)
        sock.setblocking(False)
        self._sockets.append(sock)
        return sock

    def route(self, target: Target | None = None) -> Route:
        self._nonce += 1
        return mint(
            target or self.target,
            self.keys,
            now=self.clock.unix(),
            lifetime=3600,
            nonce=self._nonce.to_bytes(4, "big"),
        )

    def session(self) -> Recorder:
        credentials = Credentials(self.route().ufrag, PASSWORD)
        recorder = Recorder(IceAgent(credentials), self.clock)
        assert self.mux.bind(credentials.ufrag, recorder)
        return recorder

    def announcement(
        self,
        relay: Sender,
        route: Route,
        client: Endpoint = CLIENT,
        time_: float | None = None,
        transport: Transport = Transport.UDP,
        *,
        epoch: int = 1,
    ) -> bytes:
        at = self.clock.unix() if time_ is None else time_
        upstream = relay if isinstance(relay, Endpoint) else Endpoint.of(relay.getsockname())
        said = Announcement(client, VIP, upstream, route.raw, at, transport, epoch)
        return said.serialize(self.keys)

    def counted(self, reason: str) -> int:
        return self.mux.counters.as_dict().get(reason, 0)

    def close(self) -> None:
        self.mux.close()
        for sock in self._sockets:
            sock.close()


async def exchange(sock: socket.socket, data: bytes, to: Endpoint) -> Message:
    sock.sendto(data, to)
    async with asyncio.timeout(5):
        return Message.parse(await asyncio.get_running_loop().sock_recv(sock, 2048))


def mapped(message: Message) -> Endpoint:
    assert message.message_class is MessageClass.SUCCESS
    value = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    return unxor_address(value, message.transaction_id)
