"""What a relay is told."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from relay.admin.place import default_path
from relay.config.conflict import Conflict, ConflictError
from relay.config.directory import Directory
from relay.config.networks import PRIVATE, Network
from relay.config.registry import Finder, Registry
from relay.config.targets import Targets, all_loopback
from relay.core.limits import ConnectionLimits, Limits
from relay.core.rates import Rates
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import (
    LoadConfig,
    Mode,
    Settings,
    UpstreamRange,
)
from relay.run import advertised
from relay.run.identity import default_identity
from relay.run.privileges import Account
from relay.tracing.config import TracingConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.transport import Transport

# Below Linux's ephemeral range (32768 to 60999), so that no other socket is given one of them.
DEFAULT_PORTS = range(10_000, 30_000)
DEFAULT_TCP_PORTS = range(30_000, 32_768)
DEFAULT_MAX_CONNECTIONS = ConnectionLimits().connections
DEFAULT_INSTANCE = "default"
DEFAULT_CLUSTER = 1
DEFAULT_SETUP_RATE = int(Rates().stun_routed.rate)
DEFAULT_PREFIX_RATE = int(Rates().prefix.rate)
DEFAULT_UFRAG_RATE = int(2 * Rates().ufrag.rate)  # it has two buckets
MIN_IDLE = 120.0  # seconds, RFC 4787 REQ-5
DEFAULT_IDLE = 300.0  # seconds
_USUAL_FLOWS = 4096
_OTHER_FILES = 256  # that a relay may have open beside those of its flows


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """A relay's configuration.

    Attributes:
        vips: The public addresses that clients send to.
        advertise: What clients are told in place of them, where a 1:1 NAT stands in front.
        upstreams: The internal addresses towards transceivers. One has room for as many flows as
            there are ports.
        ports: The upstream ports, the same for each upstream address.
        tcp: The addresses on which clients may connect over TCP.
        tcp_ports: The upstream ports of their flows.
        max_connections: The most of their connections; a quarter of them from one network.
        keys: The key file.
        edge_keys: The files of edge keys, one for each cluster elsewhere.
        registry: The registry file, if there is one.
        dataplane: What forwards confirmed flows.
        interfaces: The interfaces that run the XDP program.
        mode: How the program is attached to them.
        force: Whether somebody else's XDP program is detached from them.
        redis: Where the mirror and the registry are, if anywhere.
        clusters: The clusters that it routes to, beside those of the registry file.
        name: Its identity in the mirror and the registry; None for one of machine and instance.
        region: Where it is, as the registry tells others.
        allow: Networks in which transceivers may be. Where none is named: those of the registry in
            Redis in private ones, and those of the registry file, which the operator wrote, in any.
        instance: Names pinned maps and the admin socket; several instances may share a host.
        admin: The path of the admin socket; None means the default of the instance.
        metrics: Where Prometheus metrics are served over HTTP, if anywhere.
        max_flows: The most confirmed flows; None: as many as there are upstream ports.
        idle: How long a flow lives after the transceiver's last packet, in seconds.
        workers: How many processes forward in userspace, a processor each.
        user: Whom the relay becomes, if root starts it.
        takeover: Whether it takes over from the relay that runs as this instance.
        setup_rate: How many checks of clients without a flow reach the session table a second.
        setup_rate_per_prefix: From one IPv4 address, or one /64 of IPv6.
        setup_rate_per_ufrag: Of one ufrag.
        tracing: Where spans of set-ups are sent, if anywhere.
    """

    vips: tuple[Endpoint, ...]
    upstreams: tuple[str, ...]
    keys: Path
    registry: Path | None = None
    ports: range = DEFAULT_PORTS
    dataplane: DataplaneChoice = DataplaneChoice.AUTO
    interfaces: tuple[str, ...] = ()
    mode: Mode = Mode.AUTO
    force: bool = False
    redis: str | None = None
    instance: str = DEFAULT_INSTANCE
    admin: Path | None = None
    metrics: Endpoint | None = None
    max_flows: int | None = None
    idle: float = DEFAULT_IDLE
    workers: int = 1
    advertise: tuple[Endpoint, ...] = ()
    tcp: tuple[Endpoint, ...] = ()
    tcp_ports: range = DEFAULT_TCP_PORTS
    max_connections: int = DEFAULT_MAX_CONNECTIONS
    clusters: tuple[int, ...] = ()
    name: str | None = None
    region: str | None = None
    allow: tuple[Network, ...] = ()
    edge_keys: tuple[Path, ...] = ()
    user: Account | None = None
    takeover: bool = False
    setup_rate: int = DEFAULT_SETUP_RATE
    setup_rate_per_prefix: int = DEFAULT_PREFIX_RATE
    setup_rate_per_ufrag: int = DEFAULT_UFRAG_RATE
    tracing: TracingConfig | None = None

    def __post_init__(self) -> None:
        """Check what concerns several settings at once.

        Raises:
            ConflictError: Some do not go together.
        """
        conflicts = [
            *self._address_conflicts(),
            *advertised.conflicts(self.vips, self.advertise),
            *self._room_conflicts(),
            *self._worker_conflicts(),
        ]
        if self.dataplane is DataplaneChoice.XDP and not self.interfaces:
            conflicts.append(
                Conflict("the XDP dataplane needs an interface", ("name it with {interface}",))
            )
        if conflicts:
            raise ConflictError(*conflicts)

    def _address_conflicts(self) -> Iterator[Conflict]:
        for vip in self.vips:
            for setting, ports in self._ports_by_setting.items():
                if vip.host in self.upstreams and vip.port in ports:
                    move = f"move the upstream ports with {{{setting}}}"
                    yield Conflict(
                        f"the VIP {vip} lies among the upstream ports {_written(ports)}",
                        ("choose another port in {vip}", move),
                    )
        udp, tcp = self.ports, self.tcp_ports
        if self.tcp and tcp[0] <= udp[-1] and udp[0] <= tcp[-1]:
            yield Conflict(
                f"the upstream ports of clients over TCP, {_written(tcp)}, overlap with those of "
                f"the others, {_written(udp)}",
                ("move them with {tcp_ports}", "move the others with {ports}"),
            )

    def _room_conflicts(self) -> Iterator[Conflict]:
        if self.max_flows is not None and self.max_flows > self.room:
            yield Conflict(
                f"{self.room:,} upstream ports have no room for {self.max_flows:,} flows",
                (
                    "ask for fewer with {max_flows}, or leave it away",
                    "for more ports with {ports}",
                    "for another address with {upstream}",
                ),
            )

    def _worker_conflicts(self) -> Iterator[Conflict]:
        for setting, ports in self._ports_by_setting.items():
            if self.workers > len(ports):
                yield Conflict(
                    f"{self.workers} workers cannot share {len(ports)} upstream ports",
                    ("ask for fewer with {workers}", f"for more ports with {{{setting}}}"),
                )
        if self.workers > 1 and self.dataplane is not DataplaneChoice.USERSPACE:
            yield Conflict(
                "several workers are for userspace; with XDP the kernel uses all processors by "
                "itself",
                ("write {dataplane} userspace", "leave {workers} away"),
            )

    @property
    def may_use_kernel(self) -> bool:
        """Whether the kernel may come to forward, at the start or later."""
        return bool(self.interfaces) and self.dataplane is not DataplaneChoice.USERSPACE

    @property
    def admin_path(self) -> Path:
        """Where the admin socket is."""
        return self.admin or default_path(self.instance)

    def advertised(self, registry: Registry) -> tuple[Endpoint, ...]:
        """What clients are told of this relay.

        Raises:
            ConflictError: The registry tells other addresses than these settings.
        """
        return advertised.agreed(self.vips, self.advertise, registry)

    @property
    def identity(self) -> str:
        """Its name in the registry, which is the same after a restart."""
        return self.name or default_identity(self.instance)

    def directory(self) -> Directory:
        """Where routes lead, as is known at the start.

        Raises:
            RegistryError: The registry file cannot be used.
        """
        own = self.clusters or (() if self.registry else (DEFAULT_CLUSTER,))
        return Directory.load(self.registry, own, self.targets(of_file=True))

    def targets(self, *, of_file: bool = False) -> Targets:
        """Where transceivers may be.

        Args:
            of_file: Whether the registry file says where they are, and not Redis.
        """
        return Targets(
            self.allow or (None if of_file else PRIVATE),
            # Whoever forwards from there reaches nobody else.
            loopback=of_file and not self.allow and all_loopback(self.upstreams),
            vips=frozenset(self.vips),
            upstreams=frozenset(self.upstreams),
            ports=tuple(self._ports_by_setting.values()),
        )

    @property
    def upstreams_by_family(self) -> dict[int, list[str]]:
        """The upstream addresses by address family, in their order."""
        families: dict[int, list[str]] = {}
        for host in self.upstreams:
            families.setdefault(Endpoint(host, 0).family, []).append(host)
        return families

    @property
    def room(self) -> int:
        """For how many flows there are upstream ports, at all addresses."""
        return len(self.upstreams) * sum(map(len, self._ports_by_setting.values()))

    @property
    def _ports_by_setting(self) -> dict[str, range]:
        """The upstream ports that are used, by the settings that name them."""
        return {"ports": self.ports} | ({"tcp_ports": self.tcp_ports} if self.tcp else {})

    @property
    def ports_by_transport(self) -> dict[Transport, range]:
        """The upstream ports by the client's transport.

        Each has its own: whatever clients over TCP do, those over UDP have theirs, which are all
        that the kernel's program knows.
        """
        return {Transport.UDP: self.ports} | ({Transport.TCP: self.tcp_ports} if self.tcp else {})

    @property
    def connection_limits(self) -> ConnectionLimits:
        """Bounds and times of clients' connections."""
        most = self.max_connections
        return ConnectionLimits(connections=most, per_prefix=max(1, most // 4))

    @property
    def files(self) -> int:
        """How many files a relay may want to have open, if it forwards everything itself.

        Each flow has a socket, and each connection one more for its client. Who has not asked for a
        number of flows wants as many as a process may usually have.
        """
        flows = self.max_flows or min(self.room, _USUAL_FLOWS)
        return _OTHER_FILES + flows + (2 * self.max_connections if self.tcp else 0)

    @property
    def limits(self) -> Limits:
        """The session table's bounds and times."""
        limits = Limits(flows=self.max_flows or self.room, idle=self.idle)
        if self.redis is None:
            return replace(limits, store_every=math.inf, claim_every=math.inf)
        return replace(limits, store_every=self.idle / 3)

    @property
    def rates(self) -> Rates:
        """How much of what has no confirmed flow may come to the agent."""
        return Rates.of(
            self.setup_rate,
            self.setup_rate_per_prefix,
            self.setup_rate_per_ufrag,
            recovers=self.redis is not None,
        )

    def worker(self, index: int) -> Self:
        """What one of the workers is told: its share of the ports and of the room for flows."""
        share = replace(
            self,
            workers=1,
            # Every so many ports, so that workers never compete for one.
            ports=self.ports[index :: self.workers],
            tcp_ports=self.tcp_ports[index :: self.workers],
            max_connections=-(-self.max_connections // self.workers),
            setup_rate=-(-self.setup_rate // self.workers),
            max_flows=None,
            admin=Path(f"{self.admin_path}.{index}"),
            metrics=None,
        )
        if self.max_flows is None:
            return share
        return replace(share, max_flows=min(share.room, -(-self.max_flows // self.workers)))

    def settings(self, keys: KeyRing, registry: Finder) -> Settings:
        """What the XDP program is told."""
        return self._settings_of(
            {
                (cluster, slot): keys.route_key(cluster, slot)
                for cluster in registry.clusters
                for slot in keys.slots
            },
            registry.remote_clusters,
        )

    def _settings_of(
        self, route_keys: Mapping[tuple[int, int], bytes], remote: frozenset[int]
    ) -> Settings:
        first, last = self.ports[0], self.ports[-1]
        return Settings(
            vips=self.vips,
            upstreams=tuple(UpstreamRange(host, first, last) for host in self.upstreams),
            route_keys=route_keys,
            remote=remote,
            rates=self.rates,
        )

    def load_config(self, keys: KeyRing, registry: Finder) -> LoadConfig:
        """How the XDP program is loaded."""
        told = self.settings(keys, registry)
        return self.load_config_of(told.route_keys, told.remote)

    def load_config_of(
        self, route_keys: Mapping[tuple[int, int], bytes], remote: frozenset[int]
    ) -> LoadConfig:
        """How it is loaded: the keys of route tags by cluster and slot, and clusters elsewhere."""
        return LoadConfig(
            instance=self.instance,
            interfaces=self.interfaces,
            settings=self._settings_of(route_keys, remote),
            max_flows=self.max_flows,
            mode=self.mode,
            force=self.force,
        )


def _written(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"
