"""Configuration files and services of a lab. Pure."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relay.wire.endpoint import Endpoint
from tests.lab import nat
from tests.lab.service import Service
from tests.lab.topology import (
    CLIENT,
    CLOUD,
    INTERNAL,
    PUBLIC,
    RELAY,
    SIGNALING,
    TRANSCEIVER,
    TWO_NICS,
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
CONTROL = Endpoint(address(TRANSCEIVER, INTERNAL), 9000)
SIGNALING_ENDPOINT = Endpoint(address(TRANSCEIVER, SIGNALING), 8080)
SIGNALING_URL = f"http://{SIGNALING_ENDPOINT}"
PORTS = "20000-29999"
HTTPS = 443  # a port that firewalls let through
REDIS = Endpoint(
    "127.0.0.1", 6379
)  # on the loopback of the relay's host, which no other lab shares

# Names of the services, by which a running lab stops and starts them.
RELAY_SERVICE, REDIS_SERVICE = "relay", "redis"
TRANSCEIVER_SERVICE, SIGNALING_SERVICE = "transceiver", "signaling"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a lab.

    Attributes:
        dataplane: What the relay forwards with: xdp, userspace or auto.
        redis: Whether a redis-server runs on the relay's host, for the relay to mirror its flows.
        relay_user: The user that the relay runs as; None means root. Only with the userspace
            dataplane: loading a BPF program needs root.
        capacity: Maximum sessions of the transceiver; None for its default.
        nat: Whether a 1:1 NAT is between the client and the relay, as in a cloud.
        tcp: Whether clients may connect over TCP, on the VIP's own port and on 443.
    """

    dataplane: str = "auto"
    redis: bool = False
    relay_user: str | None = None
    capacity: int | None = None
    nat: bool = False
    tcp: bool = False

    @property
    def network(self) -> Network:
        """The network of the lab."""
        return nat.BEHIND_NAT if self.nat else TWO_NICS

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
    def options(self) -> Path:
        """The options that the lab was brought up with."""
        return self.directory / "lab.json"


def registry_text(relays: Mapping[Endpoint, Endpoint | None], *, tcp: bool = False) -> str:
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
address = "{MEDIA}"
control = "http://{CONTROL}"
"""


def relays(options: Options) -> Mapping[Endpoint, Endpoint | None]:
    """The relay's VIPs, each with what it is advertised as, if that is another address."""
    return dict(zip(PRIVATE_VIPS, ADVERTISED, strict=True)) if options.nat else {VIP: None}


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
        f'interface = ["{CLOUD if options.nat else PUBLIC}", "{INTERNAL}"]',
        f'keys = "{files.keys}"',
        f'registry = "{files.registry}"',
        f'dataplane = "{options.dataplane}"',
        f'instance = "{instance}"',
        f'admin = "{files.admin}"',
    ]
    if options.redis:
        lines.append(f'redis = "redis://{REDIS}/0"')
    if options.tcp:
        lines.append(f"tcp = {_over_tcp(relays(options))}")
    return "\n".join(lines) + "\n"


def icelane() -> str:
    """The `icelane` command of this environment."""
    beside = Path(sys.executable).with_name("icelane")
    return str(beside) if beside.exists() else "icelane"


def stages(files: Files, options: Options) -> tuple[tuple[Service, ...], ...]:
    """The services of a lab; those of a stage start once those of the stage before are ready."""
    redis = (_redis(files),) if options.redis else ()
    # At start, signaling contacts the transceivers, and the relay reads flows from Redis.
    return (_transceiver(files, options), *redis), (_signaling(files), _relay(files, options))


def _redis(files: Files) -> Service:
    return Service(
        REDIS_SERVICE,
        RELAY,
        (
            *("redis-server", "--bind", REDIS.host, "--port", str(REDIS.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(files.directory)),
        ),
        ready="Ready to accept connections",
    )


def _transceiver(files: Files, options: Options) -> Service:
    capacity = () if options.capacity is None else ("--capacity", str(options.capacity))
    return Service(
        TRANSCEIVER_SERVICE,
        TRANSCEIVER,
        (
            *(icelane(), "transceiver", "run", "--listen", str(MEDIA), "--control", str(CONTROL)),
            *("--cluster", "1", "--slot", "1", "--generation", "1", "--keys", str(files.keys)),
            *capacity,
        ),
        ready="^ready",
    )


def _signaling(files: Files) -> Service:
    return Service(
        SIGNALING_SERVICE,
        TRANSCEIVER,
        (
            *(icelane(), "signaling", "run", "--listen", str(SIGNALING_ENDPOINT)),
            *("--registry", str(files.registry)),
        ),
        ready="^ready",
    )


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
