"""Who there is: the transceivers that routes lead to and the relays that answers advertise."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import Target

_LIMITS = {"cluster": 1 << 16, "slot": 1 << 24, "generation": 1 << 8}


class RegistryError(ConfigError):
    """A registry file cannot be used; the text says where and what to do."""


@dataclass(frozen=True, slots=True)
class Transceiver:
    """A transceiver that routes can lead to.

    Attributes:
        target: Its cluster, slot and generation.
        address: The transport address of its media, in the relay's internal network.
        control: The URL of its control API; only signaling needs it.
    """

    target: Target
    address: Endpoint
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """All transceivers and relays.

    Attributes:
        transceivers: The transceivers; no two share a slot of a cluster.
        relays: The VIPs that an SDP answer may advertise.
    """

    transceivers: tuple[Transceiver, ...]
    relays: tuple[Endpoint, ...] = ()
    _by_target: Mapping[Target, Transceiver] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owners = Counter((each.target.cluster, each.target.slot) for each in self.transceivers)
        for (cluster, slot), count in owners.items():
            if count > 1:
                raise RegistryError(f"{count} transceivers have slot {slot} of cluster {cluster}")
        object.__setattr__(self, "_by_target", {each.target: each for each in self.transceivers})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a registry file (TOML).

        Raises:
            RegistryError: It cannot be read, or an entry in it is wrong.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RegistryError(f"cannot read registry {path}: {error.strerror}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RegistryError(f"registry {path} is not valid TOML: {error}") from None
        try:
            return cls.of(document)
        except RegistryError as error:
            raise RegistryError(f"registry {path}: {error}") from None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the tables of a registry file.

        Raises:
            RegistryError: An entry is wrong.
        """
        if unknown := set(document) - {"relay", "transceiver"}:
            raise RegistryError(f"unknown table {', '.join(sorted(unknown))}")
        relays = tuple(
            _host_address(entry, "vip", f"relay {number}")
            for number, entry in _entries(document, "relay", {"vip"})
        )
        transceivers = tuple(
            Transceiver(
                target=_target(entry, f"transceiver {number}"),
                address=_host_address(entry, "address", f"transceiver {number}"),
                control=_control(entry, f"transceiver {number}"),
            )
            for number, entry in _entries(document, "transceiver", {*_LIMITS, "address", "control"})
        )
        return cls(transceivers, relays)

    def find(self, target: Target) -> Transceiver | None:
        """The transceiver of a target, if its slot has this very generation."""
        return self._by_target.get(target)

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that the transceivers belong to."""
        return frozenset(each.target.cluster for each in self.transceivers)


def _entries(
    document: Mapping[str, Any], name: str, known: set[str]
) -> list[tuple[int, Mapping[str, Any]]]:
    entries = document.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise RegistryError(f"write [[{name}]] above each {name}")
    for number, entry in enumerate(entries, 1):
        if unknown := set(entry) - known:
            raise RegistryError(f"{name} {number}: unknown key {', '.join(sorted(unknown))}")
    return list(enumerate(entries, 1))


def _target(entry: Mapping[str, Any], where: str) -> Target:
    values = []
    for name, limit in _LIMITS.items():
        value = entry.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
            raise RegistryError(f"{where}: {name} must be a number from 0 to {limit - 1}")
        values.append(value)
    return Target(*values)


def _endpoint(entry: Mapping[str, Any], name: str, where: str) -> Endpoint:
    text = entry.get(name)
    if not isinstance(text, str):
        raise RegistryError(f'{where}: {name} = "IP:PORT" is missing')
    try:
        return Endpoint.parse(text)
    except EndpointError as error:
        raise RegistryError(f"{where}: {name}: {error}") from None


def _host_address(entry: Mapping[str, Any], name: str, where: str) -> Endpoint:
    endpoint = _endpoint(entry, name, where)
    address = ip_address(endpoint.host)
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        raise RegistryError(f"{where}: {name} {endpoint} is not the address of one host")
    return endpoint


def _control(entry: Mapping[str, Any], where: str) -> str | None:
    control = entry.get("control")
    if control is not None and not (
        isinstance(control, str) and control.startswith(("http://", "https://"))
    ):
        raise RegistryError(f"{where}: control must be a URL such as http://192.0.2.2:9000")
    return control
