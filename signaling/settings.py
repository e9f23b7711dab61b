"""The settings of signaling, as an operator gives them: the section ``[signaling]``."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from relay.config.fields import (
    Address,
    Clusters,
    CollectorUrl,
    FilePath,
    Networks,
    RedisUrl,
    Share,
    setting,
    tracing_ratio_setting,
    tracing_setting,
)
from relay.config.networks import PRIVATE
from relay.config.settings import Settings
from signaling.client import LOOPBACK
from signaling.whipconfig import IceServer, WhipConfig

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110, section 5.6.2


def _ice_server(value: object) -> IceServer:
    return IceServer.parse(value if isinstance(value, str) else "")


def _header_name(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no name of a header, such as X-Region")
    return value


HeaderName = Annotated[str, PlainValidator(_header_name)]
IceServers = Annotated[
    tuple[Annotated[IceServer, PlainValidator(_ice_server)], ...],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    AfterValidator(lambda servers: tuple(dict.fromkeys(servers))),
]


class DoorSettings(Settings):
    """Who gets in, and how; `icelane up` has the same."""

    keys_file: FilePath | None = setting(
        None,
        help="the API keys, as `icelane keys api` writes them; who has none gets in nowhere",
        metavar="FILE",
        shown="none: everybody may call",
        example="api-keys.toml",
    )
    open: bool = setting(False, help="let everybody call who reaches the address, without API keys")
    secret_file: FilePath | None = setting(
        None,
        help="what signs client secrets, so that several servers agree: a line of 32 characters "
        "or more",
        metavar="FILE",
        shown="a secret until this process ends",
        example="client.secret",
    )
    tls_cert: FilePath | None = setting(
        None,
        help="serve HTTPS with this certificate (PEM), which is read again when it changes",
        metavar="FILE",
        shown="none: HTTP",
        example="cert.pem",
    )
    tls_key: FilePath | None = setting(
        None,
        help="the certificate's private key (PEM)",
        metavar="FILE",
        shown="none",
        example="key.pem",
    )
    tls_self_signed: bool = setting(
        False, help="serve HTTPS with a certificate of one's own, such as for a phone"
    )
    proxies: Networks = setting(
        LOOPBACK,
        help="proxies that say in X-Forwarded-For whose request they pass on",
        metavar="NETWORK",
        shown="those on this host",
    )
    region_header: HeaderName | None = setting(
        None,
        help="the header in which these proxies tell a client's region, which his calls then have",
        metavar="NAME",
        shown="none",
        example="X-Region",
    )
    ice_servers: IceServers = setting(
        (),
        help="a STUN or TURN server that WHIP tells clients of, with user name and credential",
        metavar="URL",
        shown="none",
        example="stun:stun.example.net:3478",
    )
    patch_without_if_match: bool = setting(
        False, help="take a PATCH of WHIP without If-Match, as some older clients send it"
    )

    @property
    def whip(self) -> WhipConfig:
        """What they say of WHIP."""
        return WhipConfig(strict=not self.patch_without_if_match, ice_servers=self.ice_servers)


class SignalingSettings(DoorSettings):
    """Where signaling serves, and whom it knows."""

    section: ClassVar[str] = "signaling"

    listen: Address = setting(
        help="where to serve HTTP",
        metavar="IP:PORT",
        example="127.0.0.1:8080",
    )
    registry: FilePath | None = setting(
        None,
        help="the registry file: relays and transceivers; it is read again when it changes",
        metavar="FILE",
        shown="the registry in Redis",
    )
    redis: RedisUrl | None = setting(
        None,
        help="where the registry is, in which they announce themselves: redis://HOST:PORT/DB",
        metavar="URL",
        shown="none",
    )
    keys: FilePath | None = setting(
        None,
        help="the cluster's key file, which verifies what stands in that registry",
        metavar="FILE",
        shown="none",
    )
    cluster: Clusters = setting(
        (),
        help="a cluster whose registry is followed",
        metavar="NUMBER",
        shown="those of the file, or 1",
        example=1,
    )
    allow: Networks = setting(
        PRIVATE,
        help="a network in which transceivers of that registry may be",
        metavar="NETWORK",
        shown="the private ones",
    )
    metrics: Address | None = setting(
        None,
        help="serve Prometheus metrics over HTTP here",
        metavar="IP:PORT",
        shown="nowhere",
        example="127.0.0.1:9101",
    )
    regions: FilePath | None = setting(
        None,
        help="the file of regions: where clients are, and which region is next to which",
        metavar="FILE",
        shown="none",
    )
    tracing: CollectorUrl | None = tracing_setting()
    tracing_ratio: Share = tracing_ratio_setting()
