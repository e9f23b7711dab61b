"""A lab in which calls take one path from the client to the transceiver."""

import os
import secrets
import signal
from contextlib import ExitStack
from dataclasses import dataclass

from relay.netns.host import Host
from tests.bench.compare.systems.coturn import missing_turnserver
from tests.bench.compare.testbed.bpfbuild import missing_bcc
from tests.bench.resource import Resource
from tests.lab import config
from tests.lab.config import (
    MEDIA,
    RELAY_SERVICE,
    SIGNALING_SERVICE,
    TRANSCEIVER_SERVICE,
    UPSTREAM,
    VIP,
    Options,
)
from tests.lab.errors import LabError
from tests.lab.lab import KILL_SECONDS, Lab
from tests.lab.process import Process
from tests.lab.service import Runner, Service
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, SIGNALING

TURN_SERVICE = "coturn"
_TURN_USER = "testbed"
_CAPACITY = 10_000  # sessions; signaling counts those that have ended for up to a second


@dataclass(frozen=True, slots=True)
class CallPath:
    """Which way calls take.

    Attributes:
        name: What tables call it.
        dataplane: What Icelane's relay forwards with, if calls go through it.
        redis: Whether that relay mirrors its flows to Redis.
        direct: Whether a cable joins client and transceiver.
    """

    name: str
    dataplane: str | None = None
    redis: bool = False
    direct: bool = False

    def missing(self) -> str | None:
        """Why it cannot be measured on this machine."""
        return missing_turnserver() if self is TURN else missing_bcc()

    def testbed(self) -> "CallTestbed":
        """A testbed in which calls take it, not yet entered."""
        return CallTestbed(self)


DIRECT, TURN = CallPath("direct", direct=True), CallPath("coturn")
CALL_PATHS = (
    DIRECT,
    CallPath("icelane xdp", "xdp"),
    CallPath("icelane userspace", "userspace"),
    TURN,
)


class CallTestbed(Resource):
    """A testbed for calls, from entering to leaving.

    The transceiver and signaling are the same for every path. Without the relay, signaling tells
    clients the transceiver's own address. Directly, there is a cable from the client to it;
    through TURN, coturn stands where the relay stood.

    Args:
        path: Which way calls take.

    Attributes:
        lab: The lab.
        turn: Where the TURN server is, user and password; None unless calls go through one.
        url: The base URL of signaling.
    """

    def __init__(self, path: CallPath) -> None:
        self._path = path
        self.lab = Lab(f"bench-{os.getpid()}-calls")
        self.turn: tuple[str, str, str] | None = None
        self.url = config.SIGNALING_URL
        self._runner = Runner(self.lab.name, self.lab.directory)

    def _open(self, stack: ExitStack) -> None:
        """Bring it up.

        Raises:
            LabError: A part of it does not start.
        """
        stack.callback(self.lab.down)
        self.lab.up(
            Options(
                dataplane=self._path.dataplane or "userspace",
                redis=self._path.redis,
                capacity=_CAPACITY,
            )
        )
        if self._path.dataplane is None:
            self.lab.kill(RELAY_SERVICE)
            self._advertise_transceiver()
        if self._path.direct:
            self._connect_directly()
        if self._path is TURN:
            self.turn = (str(VIP), _TURN_USER, secrets.token_hex(8))
            self.start_middle()

    @property
    def middle(self) -> str:
        """The service that clients send their media to."""
        if self._path is TURN:
            return TURN_SERVICE
        return RELAY_SERVICE if self._path.dataplane else TRANSCEIVER_SERVICE

    @property
    def interfaces(self) -> tuple[str, str]:
        """By which interface media leaves the client's host, and comes to the transceiver's."""
        return (SIGNALING, SIGNALING) if self._path.direct else (PUBLIC, INTERNAL)

    def kill_middle(self) -> None:
        """Kill what clients send their media to.

        Raises:
            LabError: It does not run, or survives.
        """
        process = self._runner.process(self.middle)
        if process is None:
            raise LabError(f"The service {self.middle} is not running.")
        process.signal(signal.SIGKILL)
        if not process.wait(KILL_SECONDS):
            raise LabError(f"The service {self.middle} survived SIGKILL.")

    def start_middle(self) -> None:
        """Start what was killed, and wait until it is ready.

        Raises:
            LabError: It does not start.
        """
        if self.turn is not None:
            self._start_turn(*self.turn[1:])
        else:
            self.lab.start(self.middle)

    @property
    def client(self) -> Host:
        """The client's host."""
        return self.lab.hosts[CLIENT]

    def pids(self) -> dict[str, int]:
        """The processes of its services by name."""
        names = (RELAY_SERVICE, self.middle, TRANSCEIVER_SERVICE, SIGNALING_SERVICE)
        found = ((name, self._runner.process(name)) for name in names)
        return {name: process.pid for name, process in found if isinstance(process, Process)}

    def _advertise_transceiver(self) -> None:
        registry = self.lab.directory / "registry.toml"
        registry.write_text(registry.read_text("utf-8").replace(str(VIP), str(MEDIA)), "utf-8")
        self.lab.kill(SIGNALING_SERVICE)
        self.lab.start(SIGNALING_SERVICE)

    def _connect_directly(self) -> None:
        with self.client.netlink() as netlink:
            netlink.route(
                "add",
                dst=f"{MEDIA.host}/32",
                oif=netlink.link_lookup(ifname=SIGNALING)[0],
                scope="link",
                prefsrc=config.CLIENT_ADDRESS,
            )

    def _start_turn(self, user: str, password: str) -> None:
        low, high = config.PORTS.split("-")
        command = (
            *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech"),
            *("--listening-ip", VIP.host, "--listening-port", str(VIP.port)),
            *("--relay-ip", UPSTREAM, "--min-port", low, "--max-port", high),
            *("--realm", "testbed", "--user", f"{user}:{password}"),
            *("--log-file", "stdout", "--pidfile", str(self.lab.directory / "turn-server")),
            *("--userdb", str(self.lab.directory / "turn-users")),
        )
        service = Service(TURN_SERVICE, RELAY, command, ready="Total General servers")
        self._runner.start(service, self.lab.hosts[RELAY]).wait()
