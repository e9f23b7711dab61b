"""What a relay is told: options of the command line over a TOML file, checked in one place."""

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from relay.admin.transport import default_path
from relay.core.limits import Limits
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import (
    DEFAULT_MAX_FLOWS,
    LoadConfig,
    Mode,
    Settings,
    UpstreamRange,
)
from relay.errors import ConfigError
from relay.registry import Registry
from relay.wire.endpoint import Endpoint, canonical_host
from relay.wire.errors import EndpointError
from relay.wire.keys import KeyRing

# Below Linux's ephemeral range (32768 to 60999), so that no other socket is given one of them.
DEFAULT_PORTS = range(10_000, 30_000)
DEFAULT_INSTANCE = "default"
MIN_IDLE = 120.0  # seconds, RFC 4787 REQ-5


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """A relay's configuration.

    Attributes:
        vips: The public addresses that clients send to.
        upstreams: The internal addresses towards transceivers. One has room for as many flows as
            there are ports.
        ports: The upstream ports, the same for each upstream address.
        keys: The key file.
        registry: The registry file.
        dataplane: What forwards confirmed flows.
        interfaces: The interfaces that run the XDP program.
        mode: How the program is attached to them.
        force: Whether somebody else's XDP program is taken off them.
        redis: The URL of the mirror, if there is one.
        instance: Names pinned maps and the admin socket; several instances may share a host.
        admin: The path of the admin socket; None means the default of the instance.
        metrics: Where Prometheus metrics are served over HTTP, if anywhere.
        max_flows: The most confirmed flows.
        idle: How long a flow lives after the transceiver's last packet, in seconds.
        workers: How many processes forward in userspace, a processor each.
    """

    vips: tuple[Endpoint, ...]
    upstreams: tuple[str, ...]
    keys: Path
    registry: Path
    ports: range = DEFAULT_PORTS
    dataplane: DataplaneChoice = DataplaneChoice.AUTO
    interfaces: tuple[str, ...] = ()
    mode: Mode = Mode.AUTO
    force: bool = False
    redis: str | None = None
    instance: str = DEFAULT_INSTANCE
    admin: Path | None = None
    metrics: Endpoint | None = None
    max_flows: int = DEFAULT_MAX_FLOWS
    idle: float = 300.0
    workers: int = 1

    def __post_init__(self) -> None:
        """Check what concerns several settings at once.

        Raises:
            ConfigError: Something is missing, or does not go together.
        """
        self._check_addresses()
        if self.idle < MIN_IDLE:
            raise ConfigError(f"idle must be at least {MIN_IDLE:.0f} seconds (RFC 4787 REQ-5)")
        if self.max_flows < 1:
            raise ConfigError("max-flows must be at least 1")
        if self.dataplane is DataplaneChoice.XDP and not self.interfaces:
            raise ConfigError("the XDP dataplane needs --interface, once for each interface")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.instance):
            raise ConfigError("an instance's name has letters, digits, - and _ only")
        self._check_workers()

    def _check_addresses(self) -> None:
        if not self.vips:
            raise ConfigError("no VIP: name the public address with --vip IP:PORT")
        if not self.upstreams:
            raise ConfigError("no upstream address: name the internal one with --upstream IP")
        for vip in self.vips:
            if ip_address(vip.host).is_unspecified:
                raise ConfigError(f"{vip} is no VIP: clients need one address, not all of them")
            if vip.host in self.upstreams and vip.port in self.ports:
                raise ConfigError(f"the VIP {vip} lies among the upstream ports: move --ports")

    def _check_workers(self) -> None:
        if not 1 <= self.workers <= len(self.ports):
            raise ConfigError("workers must be at least 1, and no more than there are ports")
        if self.workers > 1 and self.dataplane is not DataplaneChoice.USERSPACE:
            raise ConfigError(
                "several workers are for userspace: write --dataplane userspace, "
                "or leave --workers away (with XDP the kernel uses all processors by itself)"
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Take settings by name, as a TOML file or the command line gives them.

        Raises:
            ConfigError: A setting is unknown, missing or wrong.
        """
        known = {
            name: value
            for name, value in ((key.replace("-", "_"), settings[key]) for key in settings)
            if value is not None and value != []
        }
        for name in ("keys", "registry"):
            if name not in known:
                raise ConfigError(f"--{name} FILE is missing")
        arguments: dict[str, Any] = {}
        for name, value in known.items():
            if name not in _SETTINGS:
                raise ConfigError(f"unknown setting {name!r}; known are {', '.join(_SETTINGS)}")
            field, read = _SETTINGS[name]
            try:
                arguments[field] = read(value)
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from None
        return cls(**{"vips": (), "upstreams": ()} | arguments)

    @classmethod
    def load(cls, path: Path | None, options: Mapping[str, Any]) -> Self:
        """Read a TOML file, and let options replace what it says.

        Raises:
            ConfigError: The file cannot be read, or a setting is wrong.
        """
        settings: dict[str, Any] = {}
        if path is not None:
            try:
                settings = tomllib.loads(path.read_text(encoding="utf-8"))
            except OSError as error:
                raise ConfigError(f"cannot read {path}: {error.strerror}") from None
            except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise ConfigError(f"{path} is not valid TOML: {error}") from None
        given = {name: value for name, value in options.items() if value not in (None, [])}
        return cls.of(settings | given)

    @property
    def admin_path(self) -> Path:
        """Where the admin socket is."""
        return self.admin or default_path(self.instance)

    @property
    def upstreams_by_family(self) -> dict[int, list[str]]:
        """The upstream addresses by address family, in their order."""
        families: dict[int, list[str]] = {}
        for host in self.upstreams:
            families.setdefault(Endpoint(host, 0).family, []).append(host)
        return families

    @property
    def limits(self) -> Limits:
        """The session table's bounds and times."""
        return Limits(flows=self.max_flows, idle=self.idle, store_every=self.idle / 3)

    def worker(self, index: int) -> Self:
        """What one of the workers is told: its share of the ports and of the room for flows."""
        return replace(
            self,
            workers=1,
            # Every so many ports, so that workers never compete for one.
            ports=self.ports[index :: self.workers],
            max_flows=-(-self.max_flows // self.workers),
            admin=Path(f"{self.admin_path}.{index}"),
            metrics=None,
        )

    def settings(self, keys: KeyRing, registry: Registry) -> Settings:
        """What the XDP program is told."""
        first, last = self.ports[0], self.ports[-1]
        return Settings(
            vips=self.vips,
            upstreams=tuple(UpstreamRange(host, first, last) for host in self.upstreams),
            route_keys={
                (cluster, slot): keys.route_key(cluster, slot)
                for cluster in registry.clusters
                for slot in keys.slots
            },
        )

    def load_config(self, keys: KeyRing, registry: Registry) -> LoadConfig:
        """How the XDP program is loaded."""
        return LoadConfig(
            instance=self.instance,
            interfaces=self.interfaces,
            settings=self.settings(keys, registry),
            max_flows=self.max_flows,
            mode=self.mode,
            force=self.force,
        )


def parse_ports(text: str) -> range:
    """Read ``20000-29999``; both ends are included.

    Raises:
        ConfigError: It is no such range.
    """
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    if not match:
        raise ConfigError(f"{text!r} is no range of ports: write 20000-29999")
    first, last = int(match[1]), int(match[2])
    if not 1024 <= first <= last <= 65535:
        raise ConfigError(f"{text!r} must rise, and lie within 1024-65535")
    return range(first, last + 1)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError("must be a text")
    return value


def _texts(value: object) -> list[str]:
    return [_text(each) for each in (value if isinstance(value, list) else [value])]


def _vips(value: object) -> tuple[Endpoint, ...]:
    return tuple(dict.fromkeys(Endpoint.parse(text) for text in _texts(value)))


def _upstreams(value: object) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(canonical_host(text) for text in _texts(value)))
    for host in hosts:
        if ip_address(host).is_unspecified:
            raise EndpointError(f"{host} is not the address of an interface")
    return hosts


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("must be true or false")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError("must be a number")
    return value


def _whole_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError("must be a whole number")
    return value


def _workers(value: object) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0))
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    try:
        return _whole_number(value)
    except ConfigError:
        raise ConfigError("must be a whole number, or auto: one for each processor") from None


def _one_of(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    def read(value: object) -> StrEnum:
        try:
            return kind(_text(value))
        except ValueError:
            raise ConfigError(f"{value!r} is none of {', '.join(kind)}") from None

    return read


def _redis_url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:  # brackets or a port that are none
        usable = False
    if not usable:
        raise ConfigError(f"{text!r} is no URL of Redis: write redis://HOST:PORT/DB")
    return text


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:  # ~somebody who does not exist
        raise ConfigError(str(error)) from None


_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "vip": ("vips", _vips),
    "upstream": ("upstreams", _upstreams),
    "ports": ("ports", lambda value: parse_ports(_text(value))),
    "keys": ("keys", _path),
    "registry": ("registry", _path),
    "dataplane": ("dataplane", _one_of(DataplaneChoice)),
    "interface": ("interfaces", lambda value: tuple(dict.fromkeys(_texts(value)))),
    "mode": ("mode", _one_of(Mode)),
    "force": ("force", _yes_or_no),
    "redis": ("redis", _redis_url),
    "instance": ("instance", _text),
    "admin": ("admin", _path),
    "metrics": ("metrics", lambda value: Endpoint.parse(_text(value))),
    "max_flows": ("max_flows", _whole_number),
    "idle": ("idle", _number),
    "workers": ("workers", _workers),
}
