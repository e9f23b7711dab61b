"""Who there is: the transceivers that routes lead to and the relays that answers advertise."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import Target
from relay.wire.transport import MAX_CANDIDATES, Candidate, Transport

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
class Relay:
    """A relay, as clients are told of it.

    Attributes:
        vip: The address that it receives at.
        advertise: What clients are told in place of it, where a 1:1 NAT stands in front.
        tcp: Where clients are told to connect over TCP, when UDP is blocked.
    """

    vip: Endpoint
    advertise: tuple[Endpoint, ...] = ()
    tcp: tuple[Endpoint, ...] = ()

    @property
    def advertised(self) -> tuple[Endpoint, ...]:
        """The addresses that clients are told."""
        return self.advertise or (self.vip,)


@dataclass(frozen=True, slots=True)
class Registry:
    """All transceivers and relays.

    Attributes:
        transceivers: The transceivers; no two share a slot of a cluster.
        relays: The relays that an SDP answer may advertise.

    Raises:
        RegistryError: Transceivers share a slot, or an answer cannot hold all relays' addresses.
    """

    transceivers: tuple[Transceiver, ...]
    relays: tuple[Relay, ...] = ()
    _by_target: Mapping[Target, Transceiver] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owners = Counter((each.target.cluster, each.target.slot) for each in self.transceivers)
        problems = [
            f"{count} transceivers have slot {slot} of cluster {cluster}"
            for (cluster, slot), count in owners.items()
            if count > 1
        ]
        count = len(self.candidates)
        if count > MAX_CANDIDATES:
            problems.append(
                f"clients would be told {count} addresses (vip or advertise, and tcp), and an "
                f"answer has room for {MAX_CANDIDATES}: tell them fewer"
            )
        if problems:
            raise RegistryError(*problems)
        object.__setattr__(self, "_by_target", {each.target: each for each in self.transceivers})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a registry file (TOML).

        Raises:
            RegistryError: It cannot be read, or entries in it are wrong: it names them all.
        """
        document = read_toml(path, "registry", error=RegistryError)
        try:
            return cls.of(document)
        except RegistryError as error:
            raise RegistryError(*(f"registry {path}: {each}" for each in error.problems)) from None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the tables of a registry file.

        Raises:
            RegistryError: Entries are wrong.
        """
        tables = {
            "relay": {"vip", "advertise", "tcp"},
            "transceiver": {*_LIMITS, "address", "control"},
        }
        problems = [unknown(name, tables, "table") for name in sorted(set(document) - set(tables))]
        relays, transceivers = [], []
        for name, known in tables.items():
            for number, entry in _entries(document, name, problems):
                reader = _Reader(entry, f"{name} {number}", problems)
                reader.expect(known)
                if name == "relay":
                    relays.append(
                        Relay(
                            reader.host_address("vip"),
                            reader.host_addresses("advertise"),
                            reader.host_addresses("tcp"),
                        )
                    )
                else:
                    transceivers.append(
                        Transceiver(
                            reader.target(), reader.host_address("address"), reader.control()
                        )
                    )
        if problems:
            raise RegistryError(*problems)
        return cls(tuple(transceivers), tuple(relays))

    def find(self, target: Target) -> Transceiver | None:
        """The transceiver of a target, if its slot has this very generation."""
        return self._by_target.get(target)

    @property
    def advertised(self) -> tuple[Endpoint, ...]:
        """What clients are told of all relays, each address once."""
        return tuple(dict.fromkeys(told for each in self.relays for told in each.advertised))

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The same as candidates, and after them those of TCP."""
        tcp = dict.fromkeys(told for each in self.relays for told in each.tcp)
        return (*map(Candidate, self.advertised), *(Candidate(told, Transport.TCP) for told in tcp))

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that the transceivers belong to."""
        return frozenset(each.target.cluster for each in self.transceivers)


def _entries(
    document: Mapping[str, Any], name: str, problems: list[str]
) -> list[tuple[int, Mapping[str, Any]]]:
    entries = document.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        problems.append(f"write [[{name}]] above each {name}")
        return []
    return list(enumerate(entries, 1))


class _Reader:
    """Reads the fields of one entry, and notes what is wrong with them.

    What it returns of a wrong field is never used: somebody looks at the problems first.

    Args:
        entry: The entry.
        where: Names it in problems.
        problems: Where they are noted.
    """

    _NOBODY = Endpoint("192.0.2.0", 1)

    def __init__(self, entry: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self._entry = entry
        self._where = where
        self._problems = problems

    def expect(self, known: set[str]) -> None:
        """Note the fields that nobody knows."""
        for name in sorted(set(self._entry) - known):
            self._note(unknown(name, known))

    def target(self) -> Target:
        """Cluster, slot and generation."""
        values = []
        for name, limit in _LIMITS.items():
            value = self._entry.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
                self._note(f"{name} must be a number from 0 to {limit - 1}")
                value = 0
            values.append(value)
        return Target(*values)

    def host_address(self, name: str) -> Endpoint:
        """The transport address of one host."""
        text = self._entry.get(name)
        if not isinstance(text, str):
            self._note(f'{name} = "IP:PORT" is missing')
            return self._NOBODY
        return self._endpoint(name, text)

    def host_addresses(self, name: str) -> tuple[Endpoint, ...]:
        """Transport addresses of one host each, if there are any: one, or a list."""
        value = self._entry.get(name, [])
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in texts):
            self._note(f'write {name} = "IP:PORT", or ["IP:PORT", "[IPv6]:PORT"]')
            return ()
        return tuple(dict.fromkeys(self._endpoint(name, text) for text in texts))

    def _endpoint(self, name: str, text: str) -> Endpoint:
        try:
            endpoint = Endpoint.parse(text)
        except EndpointError as error:
            self._note(f"{name}: {error}")
            return self._NOBODY
        if not endpoint.is_one_host:
            self._note(f"{name} {endpoint} is not the address of one host")
        return endpoint

    def control(self) -> str | None:
        """The URL of the control API, if there is one."""
        control = self._entry.get("control")
        if control is None:
            return None
        if isinstance(control, str) and control.startswith(("http://", "https://")):
            return control
        self._note("control must be a URL such as http://192.0.2.2:9000")
        return None

    def _note(self, problem: str) -> None:
        self._problems.append(f"{self._where}: {problem}")
