"""The settings of a relay, as an operator gives them: the section ``[relay]``."""

import os
import re
from typing import Annotated, ClassVar

from pydantic import Field, PlainValidator

from relay.config.fields import (
    Address,
    FilePath,
    HostAddresses,
    Hosts,
    Names,
    Number,
    OneHostAddresses,
    RedisUrl,
    WholeNumber,
    one_of,
    setting,
)
from relay.config.settings import Settings
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import DEFAULT_MAX_FLOWS, Mode
from relay.run.config import (
    DEFAULT_IDLE,
    DEFAULT_INSTANCE,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_PORTS,
    DEFAULT_TCP_PORTS,
    MIN_IDLE,
    RelayConfig,
)


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


def _instance(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("an instance's name has letters, digits, - and _ only, 64 at most")
    return value


def _workers(value: object) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0))
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number from 1 on, or auto: one for each processor")
    return value


InstanceName = Annotated[str, PlainValidator(_instance)]
Dataplane = Annotated[DataplaneChoice, PlainValidator(one_of(DataplaneChoice))]


class RelaySettings(Settings):
    """See `RelayConfig`, which they make."""

    section: ClassVar[str] = "relay"

    vip: HostAddresses = setting(help="a public address that clients send to", metavar="IP:PORT")
    upstream: Hosts = setting(
        help="an internal address towards transceivers; each has room for as many flows as there "
        "are ports",
        metavar="IP",
    )
    advertise: OneHostAddresses = setting(
        (),
        help="what clients are told in place of the VIPs, behind a 1:1 NAT, by the registry",
        metavar="IP:PORT",
        shown="what the registry says, or the VIPs",
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
    registry: FilePath = setting(help="the registry file: where transceivers are", metavar="FILE")
    dataplane: Dataplane = setting(
        DataplaneChoice.AUTO,
        help="what forwards: xdp, userspace, or auto: XDP where it can be had",
        metavar="NAME",
    )
    interface: Names = setting(
        (), help="an interface that runs the XDP program", metavar="NAME", shown="none"
    )
    mode: Annotated[Mode, PlainValidator(one_of(Mode))] = setting(
        Mode.AUTO,
        help="how XDP is attached: native (in the driver), generic (slow), or auto: native, and "
        "generic where a driver refuses",
        metavar="NAME",
    )
    force: bool = setting(False, help="detach somebody else's XDP program from the interfaces")
    redis: RedisUrl | None = setting(
        None, help="the mirror: redis://HOST:PORT/DB", metavar="URL", shown="none"
    )
    instance: InstanceName = setting(
        DEFAULT_INSTANCE,
        help="names pinned maps and admin socket, where several relays share a host",
        metavar="NAME",
    )
    admin: FilePath | None = setting(
        None,
        help="the path of the admin socket",
        metavar="PATH",
        shown="/run/icelane/INSTANCE.sock",
    )
    metrics: Address | None = setting(
        None, help="serve Prometheus metrics over HTTP here", metavar="IP:PORT", shown="nowhere"
    )
    max_flows: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_MAX_FLOWS,
        help="the most confirmed flows; the kernel takes memory for them at once",
        metavar="NUMBER",
    )
    idle: Annotated[Number, Field(ge=MIN_IDLE)] = setting(
        DEFAULT_IDLE,
        help=f"seconds until a flow expires in which the transceiver is silent, at least "
        f"{MIN_IDLE:.0f} (RFC 4787 REQ-5)",
        metavar="SECONDS",
        shown=f"{DEFAULT_IDLE:.0f}",
    )
    workers: Annotated[int, PlainValidator(_workers)] = setting(
        1,
        help="processes that forward in userspace, or auto: one for each processor",
        metavar="NUMBER",
    )

    def config(self) -> RelayConfig:
        """What the relay is told.

        Raises:
            ConflictError: Some settings do not go together.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return RelayConfig(
            vips=values.pop("vip"),
            upstreams=values.pop("upstream"),
            interfaces=values.pop("interface"),
            **values,
        )
