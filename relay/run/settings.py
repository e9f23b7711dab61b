"""The settings of a relay, as an operator gives them: the section ``[relay]``."""

import os
import re
from typing import Annotated, ClassVar

from pydantic import Field, PlainValidator

from relay.config import exposure
from relay.config.conflict import Conflict, ConflictError
from relay.config.fields import (
    Address,
    Clusters,
    CollectorUrl,
    FilePath,
    FilePaths,
    HostAddresses,
    Hosts,
    Names,
    Networks,
    Number,
    OneHostAddresses,
    RedisUrl,
    Share,
    Text,
    WholeNumber,
    one_of,
    setting,
    tracing_ratio_setting,
    tracing_setting,
)
from relay.config.settings import Settings
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import Mode
from relay.run.config import (
    DEFAULT_CLUSTER,
    DEFAULT_IDLE,
    DEFAULT_INSTANCE,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_PORTS,
    DEFAULT_PREFIX_RATE,
    DEFAULT_SETUP_RATE,
    DEFAULT_TCP_PORTS,
    DEFAULT_UFRAG_RATE,
    MIN_IDLE,
    RelayConfig,
)
from relay.run.privileges import Account, account


def parse_ports(text: object) -> range:
    """Read ``20000-29999``; both ends are included.

    Raises:
        ValueError: It is no such range.
    """
    match = isinstance(text, str) and re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    if not match:
        raise ValueError(f"{text!r} is no range of ports: write 20000-29999")
    first, last = int(match[1]), int(match[2])
    if not 1024 <= first <= last <= 65535:
        raise ValueError(f"{text!r} must rise, and lie within 1024-65535")
    return range(first, last + 1)


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("such a name has letters, digits, - and _ only, 64 at most")
    return value


def _workers(value: object) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0))
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number from 1 on, or auto: one for each processor")
    return value


def _account(value: object) -> Account:
    return value if isinstance(value, Account) else account(str(value))


Name = Annotated[str, PlainValidator(_name)]
Dataplane = Annotated[DataplaneChoice, PlainValidator(one_of(DataplaneChoice))]


class RelaySettings(Settings):
    """See `RelayConfig`, which they make."""

    section: ClassVar[str] = "relay"

    vip: HostAddresses = setting(help="a public address that clients send to", metavar="IP:PORT")
    upstream: Hosts = setting(
        help="an internal address towards transceivers; each has room for as many flows as there "
        "are ports",
        metavar="IP",
        example="192.0.2.1",
    )
    advertise: OneHostAddresses = setting(
        (),
        help="what clients are told in place of the VIPs, behind a 1:1 NAT, by the registry",
        metavar="IP:PORT",
        shown="what the registry says, or the VIPs",
        example="198.51.100.7:3478",
    )
    ports: Annotated[range, PlainValidator(parse_ports)] = setting(
        DEFAULT_PORTS,
        help="upstream ports, one for each flow; keep them out of the ephemeral range "
        "(32768-60999)",
        metavar="FIRST-LAST",
        shown=f"{DEFAULT_PORTS[0]}-{DEFAULT_PORTS[-1]}",
    )
    tcp: HostAddresses = setting(
        (),
        help="an address on which clients connect over TCP, where UDP is blocked",
        metavar="IP:PORT",
        shown="none",
    )
    tcp_ports: Annotated[range, PlainValidator(parse_ports)] = setting(
        DEFAULT_TCP_PORTS,
        help="upstream ports of clients that connect over TCP",
        metavar="FIRST-LAST",
        shown=f"{DEFAULT_TCP_PORTS[0]}-{DEFAULT_TCP_PORTS[-1]}",
    )
    max_connections: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_MAX_CONNECTIONS,
        help="the most connections of clients over TCP; a quarter of them from one network",
        metavar="NUMBER",
    )
    keys: FilePath = setting(help="the key file; `icelane keys new` makes one", metavar="FILE")
    edge_keys: FilePaths = setting(
        (),
        help="a file of a cluster elsewhere; `icelane keys export --for edge` makes one there",
        metavar="FILE",
        shown="none: their relays take clients for this one",
        example="edge-2.toml",
    )
    registry: FilePath | None = setting(
        None,
        help="the registry file: where transceivers are; it is read again when it changes",
        metavar="FILE",
        shown="the registry in Redis",
    )
    cluster: Clusters = setting(
        (),
        help="a cluster that it routes to, beside those of the registry file",
        metavar="NUMBER",
        shown=f"those of the file, or {DEFAULT_CLUSTER}",
        example=1,
    )
    name: Text | None = setting(
        None,
        help="who it is in the mirror and registry, also after a restart; no two share one",
        metavar="NAME",
        shown="made of host name, instance and machine id",
        example="relay-1",
    )
    region: Text | None = setting(
        None,
        help="where it is, by which clients are steered",
        metavar="NAME",
        shown="none",
        example="eu",
    )
    allow: Networks = setting(
        (),
        help="a network in which transceivers may be",
        metavar="NETWORK",
        shown="the private ones for the registry in Redis, any for the registry file",
        example="10.0.0.0/8",
    )
    dataplane: Dataplane = setting(
        DataplaneChoice.AUTO,
        help="what forwards: xdp, userspace, or auto: XDP where it can be had",
        metavar="NAME",
    )
    interface: Names = setting(
        (),
        help="an interface that runs the XDP program",
        metavar="NAME",
        shown="none",
        example="eth0",
    )
    mode: Annotated[Mode, PlainValidator(one_of(Mode))] = setting(
        Mode.AUTO,
        help="how XDP is attached: native (in the driver), generic (slow), or auto: native, and "
        "generic where a driver refuses",
        metavar="NAME",
    )
    force: bool = setting(False, help="detach somebody else's XDP program from the interfaces")
    redis: RedisUrl | None = setting(
        None,
        help="where flows are mirrored and the registry is: redis://HOST:PORT/DB",
        metavar="URL",
        shown="none",
    )
    instance: Name = setting(
        DEFAULT_INSTANCE,
        help="names pinned maps and admin socket, where several relays share a host",
        metavar="NAME",
    )
    admin: FilePath | None = setting(
        None,
        help="the path of the admin socket",
        metavar="PATH",
        shown="/run/icelane/INSTANCE.sock",
        example="/run/icelane/relay.sock",
    )
    metrics: Address | None = setting(
        None,
        help="serve Prometheus metrics over HTTP here",
        metavar="IP:PORT",
        shown="nowhere",
        example="127.0.0.1:9100",
    )
    metrics_public: bool = setting(False, help="serve them where strangers may reach them, too")
    max_flows: Annotated[WholeNumber, Field(ge=1)] | None = setting(
        None,
        help="the most confirmed flows; the kernel takes memory for them at once",
        metavar="NUMBER",
        shown="as many as upstream ports",
        example=20_000,
    )
    idle: Annotated[Number, Field(ge=MIN_IDLE)] = setting(
        DEFAULT_IDLE,
        help=f"seconds until a flow expires in which the transceiver is silent, at least "
        f"{MIN_IDLE:.0f} (RFC 4787 REQ-5)",
        metavar="SECONDS",
        shown=f"{DEFAULT_IDLE:.0f}",
    )
    setup_rate: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_SETUP_RATE,
        help="how many first checks of clients a second reach the relay's agent",
        metavar="NUMBER",
    )
    setup_rate_per_prefix: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_PREFIX_RATE,
        help="... from one IPv4 address or IPv6 /64; a /48 has four times as many",
        metavar="NUMBER",
    )
    setup_rate_per_ufrag: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_UFRAG_RATE,
        help="... with one ufrag, which somebody else may have seen and repeat",
        metavar="NUMBER",
    )
    workers: Annotated[int, PlainValidator(_workers)] = setting(
        1,
        help="processes that forward in userspace, or auto: one for each processor",
        metavar="NUMBER",
    )
    user: Annotated[Account, PlainValidator(_account)] | None = setting(
        None,
        help="whom to become, without any capability, when root starts it; for XDP a helper stays",
        metavar="NAME",
        shown="nobody else",
        example="nobody",
    )

    takeover: bool = setting(
        False,
        help="take over from the relay that runs as this instance, if there is one, without losing "
        "a packet; that one ends",
    )
    tracing: CollectorUrl | None = tracing_setting()
    tracing_ratio: Share = tracing_ratio_setting()

    def config(self, *, routes: bool = True) -> RelayConfig:
        """What the relay is told.

        Args:
            routes: Whether it must know where transceivers are: who only loads the program into
                the kernel sends nothing.

        Raises:
            ConflictError: Some settings do not go together.
        """
        if routes and self.registry is None and self.redis is None:
            raise ConflictError(
                Conflict(
                    "nothing says where transceivers are",
                    ("name the registry file with {registry}", "name Redis with {redis}"),
                )
            )
        values = {name: getattr(self, name) for name in type(self).model_fields}
        public = values.pop("metrics_public")
        del values["tracing"], values["tracing_ratio"]  # who runs it looks at the environment, too
        if self.metrics is not None:
            refused = exposure.conflicts(
                self.metrics, "metrics", "metrics and health", allowed=public
            )
            if refused:
                raise ConflictError(*refused)
        return RelayConfig(
            vips=values.pop("vip"),
            upstreams=values.pop("upstream"),
            interfaces=values.pop("interface"),
            clusters=values.pop("cluster"),
            **values,
        )
