"""What a relay is told."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from relay.admin.place import default_path
from relay.config.conflict import Conflict, ConflictError
from relay.config.registry import Registry
from relay.core.limits import ConnectionLimits, Limits
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import (
    DEFAULT_MAX_FLOWS,
    LoadConfig,
    Mode,
    Settings,
    UpstreamRange,
)
from relay.run import advertised
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.transport import Transport

# Below Linux's ephemeral range (32768 to 60999), so that no other socket is given one of them.
DEFAULT_PORTS = range(10_000, 30_000)
DEFAULT_TCP_PORTS = range(30_000, 32_768)
DEFAULT_MAX_CONNECTIONS = ConnectionLimits().connections
DEFAULT_INSTANCE = "default"
MIN_IDLE = 120.0  # seconds, RFC 4787 REQ-5
DEFAULT_IDLE = 300.0  # seconds


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
        registry: The registry file.
        dataplane: What forwards confirmed flows.
        interfaces: The interfaces that run the XDP program.
        mode: How the program is attached to them.
        force: Whether somebody else's XDP program is detached from them.
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
    idle: float = DEFAULT_IDLE
    workers: int = 1
    advertise: tuple[Endpoint, ...] = ()
    tcp: tuple[Endpoint, ...] = ()
    tcp_ports: range = DEFAULT_TCP_PORTS
    max_connections: int = DEFAULT_MAX_CONNECTIONS

    def __post_init__(self) -> None:
        """Check what concerns several settings at once.

        Raises:
            ConflictError: Some do not go together.
        """
        conflicts = [
            *self._address_conflicts(),
            *advertised.conflicts(self.vips, self.advertise),
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
    def upstreams_by_family(self) -> dict[int, list[str]]:
        """The upstream addresses by address family, in their order."""
        families: dict[int, list[str]] = {}
        for host in self.upstreams:
            families.setdefault(Endpoint(host, 0).family, []).append(host)
        return families

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
            tcp_ports=self.tcp_ports[index :: self.workers],
            max_connections=-(-self.max_connections // self.workers),
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


def _written(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"
