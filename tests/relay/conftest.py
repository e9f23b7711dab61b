"""A scene for the session table: people with addresses, a clock, and commands in plain words."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Self

import pytest
import redis

from relay.config.registry import Registry, Transceiver
from relay.core.admission import Admission
from relay.core.flow import (
    Alarm,
    Announce,
    CloseUpstream,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    OpenUpstream,
    Recall,
    Remove,
    SendToClient,
    SendToTransceiver,
    State,
    Store,
)
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.core.ports import UpstreamPool
from relay.core.session import SessionTable
from relay.wire import stun
from relay.wire.announcement import is_announcement
from relay.wire.demux import Kind, classify
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.transport import Transport

ALICE = Endpoint("203.0.113.2", 40_000)
MALLORY = Endpoint("203.0.113.66", 40_000)
VIP = Endpoint("203.0.113.10", 3478)
UPSTREAM = "192.0.2.1"
FIRST, SECOND = Target(1, 1, 1), Target(1, 2, 1)
ADDRESSES = {FIRST: Endpoint("192.0.2.2", 5000), SECOND: Endpoint("192.0.2.3", 5000)}
UNIX = 1_800_000_000.0
DTLS = bytes([22, 254, 253]) + bytes(40)
RTP = bytes([0x80, 111]) + bytes(40)
ZRTP = bytes([0x10]) + bytes(40)
JUNK = bytes([0xFF]) * 30

_CLASSES = {
    stun.MessageClass.REQUEST: "request",
    stun.MessageClass.INDICATION: "indication",
    stun.MessageClass.SUCCESS: "success",
    stun.MessageClass.ERROR: "error",
}


class Scene:
    """One relay's session table, and what happens to it."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        ports: range = range(20_000, 20_100),
        tcp_ports: range = range(30_000, 30_100),
        keys: KeyRing | None = None,
        registry: Registry | None = None,
        vip: Endpoint = VIP,
        upstream: str = UPSTREAM,
        edge_keys: EdgeKeys | None = None,
        admission: Admission | None = None,
        now: Instant | None = None,
    ) -> None:
        self.keys = keys or KeyRing({0: bytes(range(32))}, 0)
        self.registry = registry or Registry(
            tuple(Transceiver(target, address) for target, address in ADDRESSES.items())
        )
        self.vip = vip
        self.pool = UpstreamPool([upstream], ports, self.keys.port_key(1))
        self.tcp_pool = UpstreamPool([upstream], tcp_ports, self.keys.port_key(1))
        self.table = SessionTable(
            vips=frozenset({vip}),
            upstreams={
                (Transport.UDP, socket.AF_INET): self.pool,
                (Transport.TCP, socket.AF_INET): self.tcp_pool,
            },
            registry=self.registry,
            keys=self.keys,
            limits=limits,
            edge_keys=edge_keys,
            admission=admission,
            heard=lambda flow: self.heard.get(flow.from_client, 0.0),
            randbelow=random.Random(1).randrange,
        )
        self.heard: dict[bytes, float] = {}  # clients that the dataplane has heard, and when
        self.now = now or Instant(1000.0, UNIX)
        self._transactions = count(1)

    def wait(self, seconds: float) -> None:
        self.now = Instant(self.now.monotonic + seconds, self.now.unix + seconds)

    def ufrag(
        self, target: Target = FIRST, *, nonce: bytes = b"abcd", lifetime: float = 3600.0
    ) -> str:
        return mint(target, self.keys, now=self.now.unix, lifetime=lifetime, nonce=nonce).ufrag

    def request(self, ufrag: str | None = None, *, transaction: bytes | None = None) -> bytes:
        username = f"{ufrag or self.ufrag()}:peer".encode()
        return stun.Message(
            stun.MessageClass.REQUEST,
            stun.BINDING,
            transaction or next(self._transactions).to_bytes(12, "big"),
            ((stun.Attribute.USERNAME, username),),
        ).serialize(b"password")

    def answer(
        self,
        request: bytes,
        message_class: stun.MessageClass = stun.MessageClass.SUCCESS,
        method: int = stun.BINDING,
    ) -> bytes:
        return stun.Message(message_class, method, request[8:20]).serialize(b"password")

    def client(
        self, data: bytes, source: Endpoint = ALICE, transport: Transport = Transport.UDP
    ) -> list[str]:
        return words(self.table.from_client(data, Source(source, self.vip, transport), self.now))

    def transceiver(self, data: bytes, flow: Flow) -> list[str]:
        return self.done(self.table.from_transceiver(data, flow, self.now))

    def done(self, commands: list[Command]) -> list[str]:
        """Commands, among them those that the table has when a flow is in the dataplane.

        The mirror has what is written to it.
        """
        done: list[Command] = []
        for command in commands:
            done.append(command)
            if isinstance(command, Install):
                done += self.table.lifecycle.installed(command.flow, self.now)
            if isinstance(command, Store):
                self.table.ownership.claimed(command.flow.addresses)
        return words(done)

    def flow(self, source: Endpoint = ALICE, target: Target = FIRST) -> Flow:
        """The newest flow of a client towards a target."""
        found = [
            flow for flow in self.table if flow.addresses.client == source and flow.target == target
        ]
        return found[-1]

    def connect(
        self, source: Endpoint = ALICE, target: Target = FIRST, *, nonce: bytes = b"abcd"
    ) -> Flow:
        """A check and its success: the client has a confirmed flow."""
        request = self.request(self.ufrag(target, nonce=nonce))
        self.client(request, source)
        flow = self.flow(source, target)
        self.transceiver(self.answer(request), flow)
        return flow

    def states(self) -> list[tuple[Endpoint, State]]:
        return [(flow.addresses.client, flow.state) for flow in self.table]

    def counted(self) -> dict[str, int]:
        """Counters, without those of forwarding."""
        return {
            name: number
            for name, number in sorted(self.table.counters.items())
            if not name.startswith(("received_", "forwarded_", "bytes_"))
        }


def words(commands: Iterable[Command]) -> list[str]:
    return list(_words(commands))


def _words(commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        match command:
            case SendToTransceiver(flow, data):
                yield f"{describe(data)} -> {flow.addresses.transceiver}"
            case Announce(flow):
                yield f"announcement -> {flow.addresses.transceiver}"
            case SendToClient(flow, data):
                yield f"{describe(data)} -> {flow.addresses.client}"
            case Alarm(_):
                yield "alarm"
            case Recall(source, _):
                yield f"recall {source.client}"
            case (
                OpenUpstream(flow)
                | CloseUpstream(flow)
                | Install(flow)
                | Remove(flow)
                | Store(flow)
                | Forget(flow)
            ):
                name = type(command).__name__.removesuffix("Upstream").lower()
                yield f"{name} {flow.addresses.transceiver}"


def describe(data: bytes) -> str:
    if is_announcement(data):
        return "announcement"
    if classify(data) is Kind.STUN:
        return _CLASSES[stun.header(data).message_class]
    return classify(data).name


@pytest.fixture
def scene() -> Scene:
    return Scene()


#: What is Redis in tests: another server of its protocol and functions does, such as valkey-server.
SERVER = os.environ.get("REDIS_SERVER", "redis-server")
FLOWS = "icelane:flow:*"  # the keys of mirrored flows; the registry has others


class RedisServer:
    """A redis-server that keeps nothing and can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "redis"
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                *(SERVER, "--port", "0", "--unixsocket", str(self._socket)),
                *("--save", "", "--appendonly", "no", "--dir", str(self.data)),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)  # a stopped one does not end
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP: it hangs; SIGCONT: it goes on; SIGKILL: it is gone."""
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def client_with(self, password: str) -> redis.Redis:
        """A client that knows the password."""
        return redis.Redis.from_url(self.url, password=password)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


async def eventually(condition: Callable[[], bool], what: str, limit: float = 5.0) -> None:
    """Wait until something holds; fail when it does not within `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        await asyncio.sleep(0.005)
