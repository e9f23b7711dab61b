"""Configuration files and services of a lab. Pure."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relay.wire.endpoint import Endpoint
from tests.lab import nat
from tests.lab.line.network import OVER_A_LINE, PAIRS
from tests.lab.service import Service
from tests.lab.topology import (
    CLIENT,
    CLOUD,
    INTERNAL,
    LINE,
    PUBLIC,
    RELAY,
    SIGNALING,
    TRANSCEIVER,
    TWO_NICS,
    UPLINK,
    Network,
    address,
)

VIP = Endpoint(address(RELAY, PUBLIC), 3478)
# Behind a NAT the relay has private VIPs, and clients are told what stands for them outside.
PRIVATE_VIPS = tuple(Endpoint(nat.private(version), VIP.port) for version in (4, 6))
ADVERTISED = tuple(Endpoint(nat.public(version), VIP.port) for version in (4, 6))
UPSTREAM = address(RELAY, INTERNAL)
CLIENT_ADDRESS = address(CLIENT, PUBLIC)
MEDIA = Endpoint(address(TRANSCEIVER, INTERNAL), 5000)
# Without a relay, where the client reaches it.
OPEN_MEDIA = Endpoint(address(TRANSCEIVER, SIGNALING), 5000)
CONTROL = Endpoint(address(TRANSCEIVER, INTERNAL), 9000)
SIGNALING_ENDPOINT = Endpoint(address(TRANSCEIVER, SIGNALING), 8080)
SIGNALING_URL = f"http://{SIGNALING_ENDPOINT}"
# Realtime services on the loopback of the transceiver's host: the offline agent, and a test's own.
AGENT = Endpoint("127.0.0.1", 8090)
BACKEND = Endpoint("127.0.0.1", 8091)
AGENT_URL, BACKEND_URL = f"ws://{AGENT}/v1/realtime", f"ws://{BACKEND}/v1/realtime"
# Where Prometheus finds them, in the relay's host.
RELAY_METRICS = Endpoint("127.0.0.1", 9100)
SIGNALING_METRICS = Endpoint(address(TRANSCEIVER, INTERNAL), 9101)
PORTS = "20000-29999"
HTTPS = 443  # a port that firewalls let through
REDIS = Endpoint(
    "127.0.0.1", 6379
)  # on the loopback of the relay's host, which no other lab shares

# Names of the services, by which a running lab stops and starts them.
RELAY_SERVICE, REDIS_SERVICE = "relay", "redis"
TRANSCEIVER_SERVICE, SIGNALING_SERVICE = "transceiver", "signaling"
LINE_SERVICE, AGENT_SERVICE = "line", "agent"

NO_RELAY = "none"  # in place of a dataplane


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a lab.

    Attributes:
        dataplane: What the relay forwards with: xdp, userspace or auto; none where there is no
            relay, and clients reach the transceiver itself.
        redis: Whether a redis-server runs on the relay's host, for the relay to mirror its flows.
        relay_user: The user that the relay runs as; None means root. Only with the userspace
            dataplane: loading a BPF program needs root.
        capacity: Maximum sessions of the transceiver; None for its default.
        nat: Whether a 1:1 NAT is between the client and the relay, as in a cloud.
        tcp: Whether clients may connect over TCP, on the VIP's own port and on 443.
        line: Whether a line is between the client and everything else, that can be changed.
        metrics: Whether relay and signaling serve metrics.
        backend: What answers: None for echo, or the URL of a Realtime service; that of the agent
            runs one on the transceiver's host.
        tracing: Where relay, transceiver and signaling send spans; None for nowhere.
    """

    dataplane: str = "auto"
    redis: bool = False
    relay_user: str | None = None
    capacity: int | None = None
    nat: bool = False
    tcp: bool = False
    line: bool = False
    metrics: bool = False
    backend: str | None = None
    tracing: str | None = None

    @property
    def media(self) -> Endpoint:
        """Where the transceiver takes media."""
        return OPEN_MEDIA if self.dataplane == NO_RELAY else MEDIA

    @property
    def public(self) -> Endpoint:
        """Where clients of no NAT send media to."""
        return OPEN_MEDIA if self.dataplane == NO_RELAY else VIP

    @property
    def network(self) -> Network:
        """The network of the lab."""
        if self.line:
            return OVER_A_LINE
        return nat.BEHIND_NAT if self.nat else TWO_NICS

    @property
    def public_interface(self) -> str:
        """The relay's interface towards clients."""
        if self.line:
            return UPLINK
        return CLOUD if self.nat else PUBLIC

    def dump(self) -> dict[str, Any]:
        """The options as plain data."""
        return asdict(self)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> "Options":
        """Rebuild what `dump` returned."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of a lab's files.

    Attributes:
        directory: The lab's directory; it is removed with the lab.
        admin: The relay's admin socket.
    """

    directory: Path
    admin: Path

    @property
    def keys(self) -> Path:
        """The key file that the relay and the transceiver share."""
        return self.directory / "keys.toml"

    @property
    def registry(self) -> Path:
        """The registry file that the relay and signaling share."""
        return self.directory / "registry.toml"

    @property
    def relay(self) -> Path:
        """The relay's configuration file."""
        return self.directory / "relay.toml"

    @property
    def line(self) -> Path:
        """The socket at which the line takes its settings."""
        return self.directory / "line.sock"

    @property
    def options(self) -> Path:
        """The options that the lab was brought up with."""
        return self.directory / "lab.json"


def registry_text(
    relays: Mapping[Endpoint, Endpoint | None], *, tcp: bool = False, media: Endpoint = MEDIA
) -> str:
    """The registry: the relay's VIPs, each with what it is advertised as, and one transceiver."""
    entries = [
        f'[[relay]]\nvip = "{vip}"\n'
        + (f'advertise = "{told}"\n' if told else "")
        + (f"tcp = {_over_tcp([told or vip])}\n" if tcp else "")
        for vip, told in relays.items()
    ]
    return f"""\
{"".join(entries)}
[[transceiver]]
cluster = 1
slot = 1
generation = 1
address = "{media}"
control = "http://{CONTROL}"
"""


def relays(options: Options) -> Mapping[Endpoint, Endpoint | None]:
    """The relay's VIPs, each with what it is advertised as, if that is another address.

    Without a relay the transceiver's own address is in its place.
    """
    if options.nat:
        return dict(zip(PRIVATE_VIPS, ADVERTISED, strict=True))
    return {options.public: None}


def _over_tcp(addresses: Iterable[Endpoint]) -> str:
    """Where clients may connect, as TOML."""
    return json.dumps(
        [str(each._replace(port=port)) for each in addresses for port in (each.port, HTTPS)]
    )


def relay_text(instance: str, files: Files, options: Options) -> str:
    """The relay's configuration."""
    vips = ", ".join(f'"{vip}"' for vip in relays(options))
    lines = [
        f"vip = [{vips}]",
        f'upstream = "{UPSTREAM}"',
        f'ports = "{PORTS}"',
        f'interface = ["{options.public_interface}", "{INTERNAL}"]',
        f'keys = "{files.keys}"',
        f'registry = "{files.registry}"',
        f'dataplane = "{options.dataplane}"',
        f'instance = "{instance}"',
        f'admin = "{files.admin}"',
    ]
    if options.redis:
        lines.append(f'redis = "redis://{REDIS}/0"')
    if options.metrics:
        lines.append(f'metrics = "{RELAY_METRICS}"')
    if options.tracing:
        lines.append(f'tracing = "{options.tracing}"')
    if options.tcp:
        lines.append(f"tcp = {_over_tcp(relays(options))}")
    return "\n".join(lines) + "\n"


def icelane() -> str:
    """The `icelane` command of this environment."""
    beside = Path(sys.executable).with_name("icelane")
    return str(beside) if beside.exists() else "icelane"


def stages(files: Files, options: Options) -> tuple[tuple[Service, ...], ...]:
    """The services of a lab; those of a stage start once those of the stage before are ready."""
    redis = (redis_service(files.directory),) if options.redis else ()
    line = (_line(files),) if options.line else ()
    # At start, signaling contacts the transceivers, and the relay reads flows from Redis.
    agent = (_agent(),) if options.backend == AGENT_URL else ()
    relay = () if options.dataplane == NO_RELAY else (_relay(files, options),)
    return (_transceiver(files, options), *redis, *line, *agent), (
        _signaling(files, options),
        *relay,
    )


def redis_service(directory: Path) -> Service:
    """A Redis server on the relay's host, which keeps nothing on disk."""
    return Service(
        REDIS_SERVICE,
        RELAY,
        (
            *("redis-server", "--bind", REDIS.host, "--port", str(REDIS.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(directory)),
        ),
        ready="Ready to accept connections",
    )


def _line(files: Files) -> Service:
    pairs = (":".join(pair) for pair in PAIRS)
    # The services run in the root directory, where Python would not find the program.
    path = f"PYTHONPATH={Path(__file__).parent.parent.parent}"
    program = ("env", path, sys.executable, "-m", "tests.lab.line.forwarder")
    return Service(LINE_SERVICE, LINE, (*program, str(files.line), *pairs), ready="^ready")


def _transceiver(files: Files, options: Options) -> Service:
    capacity = () if options.capacity is None else ("--capacity", str(options.capacity))
    backend = () if options.backend is None else ("--backend", options.backend)
    return Service(
        TRANSCEIVER_SERVICE,
        TRANSCEIVER,
        (
            *(icelane(), "transceiver", "run", "--listen", str(options.media)),
            *("--control", str(CONTROL)),
            *("--cluster", "1", "--slot", "1", "--generation", "1", "--keys", str(files.keys)),
            *capacity,
            *backend,
            *_tracing(options),
        ),
        ready="^ready",
    )


def _agent() -> Service:
    command = (icelane(), "agent", "run", "--listen", str(AGENT))
    return Service(AGENT_SERVICE, TRANSCEIVER, command, ready="^ready")


def _signaling(files: Files, options: Options) -> Service:
    metrics = ("--metrics", str(SIGNALING_METRICS)) if options.metrics else ()
    return Service(
        SIGNALING_SERVICE,
        TRANSCEIVER,
        (
            *(icelane(), "signaling", "run", "--listen", str(SIGNALING_ENDPOINT)),
            *("--registry", str(files.registry), "--open", *metrics),
            *_tracing(options),
        ),
        ready="^ready",
    )


def _tracing(options: Options) -> tuple[str, ...]:
    return () if options.tracing is None else ("--tracing", options.tracing)


def _relay(files: Files, options: Options) -> Service:
    command = (icelane(), "relay", "run", "--config", str(files.relay))
    prefix = () if options.relay_user is None else _as_user(options.relay_user)
    return Service(RELAY_SERVICE, RELAY, (*prefix, *command), ready="^ready")


def _as_user(user: str) -> tuple[str, ...]:
    """A command prefix that drops root and all capabilities for good."""
    return (
        *("setpriv", f"--reuid={user}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
    )
