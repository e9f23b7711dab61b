"""Relays on the loopback, one after the other, under loads of numbered packets."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from relay.admin.transport import ask
from relay.config.privatefiles import write_private
from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.lab.load import Load
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE

LIMIT = 30.0  # seconds until what must happen has happened
KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
RATE = 50.0  # packets a second each way, as a call has


class Relays:
    """Relays of one instance, and where their clients and transceiver are."""

    def __init__(self, directory: Path, slots: int = 1) -> None:
        self.admin = directory / "admin.sock"
        self.vip = Endpoint("127.0.0.1", free_port())
        self._directory = directory
        self._started: list[subprocess.Popen[str]] = []
        self._slots = {slot: free_port() for slot in range(1, slots + 1)}
        write_private(directory / "keys.toml", KEYS.dumps().encode())
        (directory / "registry.toml").write_text(
            "\n".join(
                f"[[transceiver]]\ncluster = 1\nslot = {slot}\ngeneration = 1\n"
                f'address = "127.0.0.1:{port}"'
                for slot, port in self._slots.items()
            )
        )

    def launch(self, **options: str) -> "subprocess.Popen[str]":
        """Start a relay, and do not wait for it."""
        settings = {
            "vip": str(self.vip),
            "upstream": "127.0.0.1",
            "ports": "20000-20999",
            "keys": "keys.toml",
            "registry": "registry.toml",
            "dataplane": "userspace",
            "admin": str(self.admin),
        } | options
        flags = [f"--{name}={value}" if value else f"--{name}" for name, value in settings.items()]
        process = subprocess.Popen(
            [ICELANE, "relay", "run", *flags],
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def start(self, **options: str) -> "subprocess.Popen[str]":
        """Start a relay, and wait until it serves."""
        process = self.launch(**options)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: "), process.communicate()
        return process

    def status(self) -> dict[str, Any]:
        return ask(self.admin, "status")

    def drain(self) -> None:
        ask(self.admin, "drain", on=True)

    @contextmanager
    def transceiver(self, slot: int) -> "Iterator[socket.socket]":
        """The socket of a slot."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", self._slots[slot]))
            udp.settimeout(LIMIT)
            yield udp

    def check(self) -> tuple[bytes, bytes]:
        """A check for the first slot, and its success."""
        username = (stun.Attribute.USERNAME, f"{_ufrag(1)}:peer".encode())
        transaction = os.urandom(12)
        return tuple(  # type: ignore[return-value]  # of two
            stun.Message(kind, stun.BINDING, transaction, attributes).serialize(b"password")
            for kind, attributes in (
                (stun.MessageClass.REQUEST, (username,)),
                (stun.MessageClass.SUCCESS, ()),
            )
        )

    def check_at(self, transceiver: socket.socket, request: bytes) -> Endpoint:
        """Where a check comes from at its transceiver, after announcements and others."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            data, source = transceiver.recvfrom(2048)
            if data == request:
                return Endpoint.of(source)
        raise TimeoutError("the check does not come")

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()

    @contextmanager
    def loads(self, count: int, *, rate: float = RATE) -> Iterator[list[Load]]:
        """Calls, each with a slot of its own, while entered.

        When that is left, all that was sent has arrived or is lost.
        """
        with ExitStack() as stack:
            yield [stack.enter_context(self._load(slot, rate)) for slot in range(1, count + 1)]

    def _load(self, slot: int, rate: float) -> Load:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.bind(("127.0.0.1", 0))
        transceiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        transceiver.bind(("127.0.0.1", self._slots[slot]))
        return Load(client, transceiver, self.vip, _ufrag(slot), rate=rate)


def _ufrag(slot: int) -> str:
    now, nonce = time.time(), os.urandom(4)
    return mint(Target(1, slot, 1), KEYS, now=now, lifetime=60, nonce=nonce).ufrag


def ended(process: "subprocess.Popen[str]") -> str:
    """What a relay has said until it ended by itself."""
    _, log = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    return log


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


def unharmed(load: Load) -> bool:
    """Whether each packet has arrived once, in its order, from the one upstream address."""
    ways = load.to_transceiver, load.to_client
    return len(load.upstreams) == 1 and not any(
        way.lost or way.duplicated or way.reordered or way.damaged for way in ways
    )
