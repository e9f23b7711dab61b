"""Who there is: transceivers and clusters that routes lead to, relays that answers advertise."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from relay.config.entryreader import LIMITS, EntryReader, entries
from relay.config.places import Places
from relay.config.targets import Targets
from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.transport import MAX_CANDIDATES, Candidate, Transport


class RegistryError(ConfigError):
    """A registry file cannot be used; the text says where and what to do."""


@dataclass(frozen=True, slots=True)
class Transceiver:
    """A transceiver that routes can lead to.

    Attributes:
        target: Its cluster, slot and generation.
        address: The transport address of its media, in the relay's internal network.
        control: The URL of its control API; only signaling needs it.
        region: Where it is; None where nobody says so.
    """

    target: Target
    address: Endpoint
    control: str | None = None
    region: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """It as plain data."""
        return {"target": str(self.target), "media": str(self.address), "control": self.control}


@dataclass(frozen=True, slots=True)
class Relay:
    """An address of a relay, as clients are told of it.

    Attributes:
        vip: The address that it receives at.
        advertise: What clients are told in place of it, where a 1:1 NAT stands in front.
        tcp: Where clients are told to connect over TCP, when UDP is blocked.
        name: Of which relay; entries of one name are one relay, and so are those without one.
        region: Where it is; None where nobody says so.
        taken: The share of its room that is in use.
        closed: It takes no new clients now: it is full, ill, silent or drains.
        clusters: To whose transceivers it routes; none where nobody says so, and then to all.
        health: The URL of its metrics and health checks, where signaling asks what forwards.
    """

    vip: Endpoint
    advertise: tuple[Endpoint, ...] = ()
    tcp: tuple[Endpoint, ...] = ()
    name: str | None = None
    region: str | None = None
    taken: float = 0.0
    closed: bool = False
    clusters: frozenset[int] = frozenset()
    health: str | None = None

    @property
    def advertised(self) -> tuple[Endpoint, ...]:
        """The addresses that clients are told."""
        return self.advertise or (self.vip,)


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """A cluster elsewhere, to whose relays an edge forwards.

    Attributes:
        number: The cluster's number.
        vips: The public addresses of its relays.
    """

    number: int
    vips: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Ingress:
    """A relay, as an answer tells a client of it.

    Attributes:
        relays: Its addresses.
    """

    relays: tuple[Relay, ...]

    @property
    def region(self) -> str | None:
        """Where it is."""
        return self.relays[0].region

    @property
    def taken(self) -> float:
        """The share of its room that is in use."""
        return max(each.taken for each in self.relays)

    @property
    def closed(self) -> bool:
        """Whether no new clients should come."""
        return any(each.closed for each in self.relays)

    @property
    def clusters(self) -> frozenset[int]:
        """To whose transceivers it routes; none where nobody says so, and then to all."""
        return self.relays[0].clusters

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What clients are told: its addresses for UDP, and after them those for TCP."""
        udp = dict.fromkeys(told for each in self.relays for told in each.advertised)
        tcp = dict.fromkeys(told for each in self.relays for told in each.tcp)
        return (*map(Candidate, udp), *(Candidate(told, Transport.TCP) for told in tcp))


class Finder(Protocol):
    """Knows where routes lead: a registry, or what follows one that changes."""

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that are served."""

    @property
    def remote_clusters(self) -> frozenset[int]:
        """The clusters elsewhere, to whose relays is forwarded."""

    def find(self, target: bytes) -> Transceiver | None:
        """The transceiver of a target, packed, if its slot has this very generation."""

    def relays_of(self, cluster: int) -> tuple[Endpoint, ...]:
        """The VIPs of a cluster elsewhere, to whose relays is forwarded; none of any other."""


@dataclass(frozen=True, slots=True)
class Registry:
    """All transceivers and relays.

    Attributes:
        transceivers: The transceivers; no two share a slot of a cluster.
        relays: The relays that an SDP answer may advertise.
        remote: The clusters elsewhere, none of which has a transceiver here.

    Raises:
        RegistryError: Transceivers share a slot, an answer cannot hold all relays' addresses, or a
            cluster is here and elsewhere, or elsewhere twice.
    """

    transceivers: tuple[Transceiver, ...]
    relays: tuple[Relay, ...] = ()
    remote: tuple[RemoteCluster, ...] = ()
    _by_target: Mapping[bytes, Transceiver] = field(init=False, repr=False, compare=False)
    _vips: Mapping[int, tuple[Endpoint, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owners = Counter((each.target.cluster, each.target.slot) for each in self.transceivers)
        problems = [
            f"{count} transceivers have slot {slot} of cluster {cluster}"
            for (cluster, slot), count in owners.items()
            if count > 1
        ]
        count = max((len(each.candidates) for each in self.ingresses), default=0)
        if count > MAX_CANDIDATES:
            problems.append(
                f"clients would be told {count} addresses (vip or advertise, and tcp), and an "
                f"answer has room for {MAX_CANDIDATES}: tell them fewer"
            )
        times = Counter(each.number for each in self.remote)
        problems += [
            f"cluster {number} is there {count} times"
            for number, count in times.items()
            if count > 1
        ]
        problems += [
            f"cluster {number} is elsewhere, and has transceivers here: leave out either"
            for number in sorted(self.clusters & times.keys())
        ]
        if problems:
            raise RegistryError(*problems)
        by_target = {each.target.packed: each for each in self.transceivers}
        object.__setattr__(self, "_by_target", by_target)
        object.__setattr__(self, "_vips", {each.number: each.vips for each in self.remote})

    @classmethod
    def load(cls, path: Path, targets: Targets | None = None) -> Self:
        """Read a registry file (TOML).

        Args:
            path: The file.
            targets: Where may be sent, if somebody sends there.

        Raises:
            RegistryError: It cannot be read, or entries in it are wrong: it names them all.
        """
        document, places = read_toml(path, "registry", error=RegistryError), Places(path)
        try:
            registry = cls.of(document, places)
            if targets is not None:
                registry.require(targets, places)
        except RegistryError as error:
            raise RegistryError(*(f"registry {each}" for each in error.problems)) from None
        return registry

    @classmethod
    def of(cls, document: Mapping[str, Any], places: Places | None = None) -> Self:
        """Take the tables of a registry file.

        Args:
            document: The tables.
            places: Where they stand in it.

        Raises:
            RegistryError: Entries are wrong.
        """
        tables = {
            "cluster": {"number", "vip"},
            "relay": {"vip", "advertise", "tcp", "name", "region", "health"},
            "transceiver": {*LIMITS, "address", "control", "region"},
        }
        places = places or Places()
        problems = [
            places.tell(unknown(name, tables, "table"), name)
            for name in sorted(set(document) - set(tables))
        ]
        relays, transceivers, remote = [], [], []
        for name, known in tables.items():
            for index, entry in entries(document, name, places, problems):
                reader = EntryReader(entry, name, index, places, problems)
                reader.expect(known)
                if name == "cluster":
                    remote.append(RemoteCluster(reader.cluster(), reader.vips()))
                elif name == "relay":
                    relays.append(
                        Relay(
                            reader.host_address("vip"),
                            reader.host_addresses("advertise"),
                            reader.host_addresses("tcp"),
                            reader.text("name"),
                            reader.text("region"),
                            health=reader.url("health", "http://192.0.2.1:9100"),
                        )
                    )
                else:
                    transceivers.append(
                        Transceiver(
                            reader.target(),
                            reader.host_address("address"),
                            reader.url("control", "http://192.0.2.2:9000"),
                            reader.text("region"),
                        )
                    )
        if problems:
            raise RegistryError(*problems)
        try:
            return cls(tuple(transceivers), tuple(relays), tuple(remote))
        except RegistryError as error:
            raise RegistryError(*map(places.tell, error.problems)) from None

    def require(self, targets: Targets, places: Places | None = None) -> None:
        """Make sure that transceivers, and relays of clusters elsewhere, are where they may be.

        Args:
            targets: Where they may be.
            places: Where they stand in a file.

        Raises:
            RegistryError: Some are not: it names them all.
        """
        places = places or Places()
        problems = [
            places.tell(f"transceiver {number}: {refusal}", "transceiver", number - 1, "address")
            for number, each in enumerate(self.transceivers, 1)
            if (refusal := targets.refusal(each.address)) is not None
        ]
        problems += [
            places.tell(f"cluster {number}: {refusal}", "cluster", number - 1, "vip")
            for number, each in enumerate(self.remote, 1)
            for vip in each.vips
            if (refusal := targets.refusal_of_relay(vip)) is not None
        ]
        if problems:
            raise RegistryError(*problems)

    def find(self, target: bytes) -> Transceiver | None:
        """The transceiver of a target, packed, if its slot has this very generation."""
        return self._by_target.get(target)

    def relays_of(self, cluster: int) -> tuple[Endpoint, ...]:
        """The VIPs of a cluster elsewhere, to whose relays is forwarded; none of any other."""
        return self._vips.get(cluster, ())

    @property
    def advertised(self) -> tuple[Endpoint, ...]:
        """What clients are told of all relays, each address once."""
        return tuple(dict.fromkeys(told for each in self.relays for told in each.advertised))

    @property
    def ingresses(self) -> tuple[Ingress, ...]:
        """The relays, each with all its addresses."""
        found: dict[tuple[str | None, str | None], list[Relay]] = {}
        for each in self.relays:
            found.setdefault((each.region, each.name), []).append(each)
        return tuple(Ingress(tuple(relays)) for relays in found.values())

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that the transceivers belong to."""
        return frozenset(each.target.cluster for each in self.transceivers)

    @property
    def remote_clusters(self) -> frozenset[int]:
        """The clusters elsewhere, to whose relays is forwarded."""
        return frozenset(self._vips)
