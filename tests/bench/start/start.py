"""Starts of a relay that has lost everything: from its command to the first packet that passes.

A client sends a packet every millisecond, on one of the flows that only Redis knows any more, from
before the relay's command is started; its transceiver waits for the first.
"""

import os
import secrets
import select
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis

from relay.admin.transport import first_piece
from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import objects
from relay.dataplane.kernel.sources import current_key
from relay.mirror.record import Record
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.bench.errors import BenchError
from tests.bench.relayfiles import write_relay_files
from tests.lab import topology
from tests.lab.config import REDIS_SERVICE, RELAY_SERVICE, icelane
from tests.lab.relay_testbed import transceiver, udp_socket, vip
from tests.lab.service import Runner, Service, StartingService
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER

PORTS = range(20_000, 30_000)  # of the relay, a port for each flow; or more, if there are more
TARGET = Target(1, 1, 1)
FIRST_CLIENT_PORT = 1_024
PERIOD = 0.001  # seconds between two packets
POLL = 0.02  # seconds between two questions
LIMIT = 60.0  # seconds for a packet to pass; compiling takes 2
MEDIA = b"\x80\x6f" + bytes(170)
_LIFETIME = 3600.0
_KILL_SECONDS = 5.0
_LAST_PORT = 65_000


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds from when the command was given.

    Attributes:
        packet: Until the first packet had passed.
        ready: Until the relay said so.
        told: What the relay says of its start.
    """

    packet: float
    ready: float
    told: Mapping[str, Any]


class StartBench:
    """A relay with its flows in Redis, between two hosts.

    Args:
        directory: Where its files are.
        flows: How many flows Redis has.
        dataplane: What forwards them, xdp or userspace.
    """

    def __init__(self, directory: Path, flows: int, dataplane: str = "xdp") -> None:
        self.instance = f"bench-{os.getpid()}-start"
        self._hosts = topology.hosts(self.instance)
        self._runner = Runner(self.instance, directory)
        self._directory = directory
        self._admin = directory / "admin.sock"
        self._redis = f"unix://{directory}/redis.sock"
        self._keys = KeyRing.generate(secrets.token_bytes)
        self._ports = range(PORTS.start, max(PORTS.stop, PORTS.start + flows))
        if self._ports[-1] > _LAST_PORT:
            self._ports = range(_LAST_PORT + 1 - flows, _LAST_PORT + 1)
        self._flows = [self._flow(number) for number in range(flows)]
        settings = {
            "vip": str(vip(4)),
            "upstream": self._flows[0].upstream.host,
            "ports": f"{self._ports[0]}-{self._ports[-1]}",
            "interface": list(topology.interfaces(topology.TWO_NICS, RELAY)),
            "dataplane": dataplane,
            "instance": self.instance,
            "name": self.instance,
            "redis": self._redis,
        }
        config = write_relay_files(directory, self._keys, TARGET, transceiver(0, 4), settings)
        command = (icelane(), "relay", "run", "--config", str(config))
        self._relay = Service(RELAY_SERVICE, RELAY, command, ready="^ready")

    def start(self, *, compiled: bool) -> Start:
        """Start the relay, wait for the first packet, and lose everything again.

        Args:
            compiled: Whether the program may be compiled already; else its object is removed.

        Raises:
            LabError: The relay does not start.
            BenchError: No packet has passed.
        """
        if not compiled:
            for path in objects.places(current_key()):
                path.unlink(missing_ok=True)
        client = udp_socket(self._hosts[CLIENT], self._flows[-1].client)
        server = udp_socket(self._hosts[TRANSCEIVER], self._flows[-1].transceiver)
        with client, server:
            given = time.monotonic()
            relay = self._runner.start(self._relay, self._hosts[RELAY])
            try:
                packet = self._first_packet(client, server, relay) - given
                relay.wait()
                ready = time.monotonic() - given
                told = self._told()
            finally:
                self._lose_everything()
        return Start(packet, ready, told)

    def _told(self) -> Mapping[str, Any]:
        """What the relay says of its start, once it has restored all flows."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            told: Mapping[str, Any] = first_piece(self._admin, "status")["start"]
            if told["restored_flows"] == len(self._flows):
                return told
            time.sleep(POLL)
        raise BenchError(f"the relay has not restored all flows within {LIMIT:.0f} s")

    def _first_packet(
        self, client: socket.socket, server: socket.socket, relay: StartingService
    ) -> float:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and relay.process.alive():
            client.sendto(MEDIA, vip(4))
            # The relay announces itself to transceivers in packets of another kind.
            while select.select([server], [], [], PERIOD)[0]:
                if server.recv(2048) == MEDIA:
                    return time.monotonic()
        relay.wait()  # raises, with its last words, when it has ended
        raise BenchError(f"no packet has passed within {LIMIT:.0f} s")

    def _lose_everything(self) -> None:
        process = self._runner.process(RELAY_SERVICE)
        if process is not None:
            process.signal(signal.SIGKILL)
            process.wait(_KILL_SECONDS)
        xdp.unload(self.instance)

    def _flow(self, number: int) -> FlowTuple:
        route = mint(
            TARGET, self._keys, now=time.time(), lifetime=_LIFETIME, nonce=secrets.token_bytes(4)
        )
        return FlowTuple(
            client=Endpoint(topology.address(CLIENT, PUBLIC), FIRST_CLIENT_PORT + number),
            vip=vip(4),
            upstream=Endpoint(topology.address(RELAY, INTERNAL), self._ports[number]),
            transceiver=transceiver(0, 4),
            route=route.raw,
        )

    def _fill_redis(self) -> None:
        command = (
            *("redis-server", "--port", "0", "--unixsocket", f"{self._directory}/redis.sock"),
            *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
        )
        service = Service(REDIS_SERVICE, RELAY, command, ready="eady to accept connections")
        self._runner.start(service, self._hosts[RELAY]).wait()
        with redis.Redis.from_url(self._redis) as client:
            for flow in self._flows:
                record = Record(flow, self.instance, 1, time.time())
                client.set(record.key, record.serialize(self._keys))

    @classmethod
    @contextmanager
    def made(cls, flows: int, dataplane: str = "xdp") -> Iterator[Self]:
        """The network, with Redis filled; all of it is removed in the end.

        Raises:
            LabError: The network cannot be made, or redis-server does not start.
        """
        with tempfile.TemporaryDirectory() as directory:
            bench = cls(Path(directory), flows, dataplane)
            topology.build(bench.instance)
            try:
                bench._fill_redis()
                yield bench
            finally:
                bench._runner.stop_all()
                topology.destroy(bench.instance)
