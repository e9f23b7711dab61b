"""The front door of a service: who gets in is settled before anything serves."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from random import SystemRandom

from relay.config.conflict import Conflict, ConflictError
from relay.config.directory import Directory
from relay.listen import bind_error
from relay.tracing.config import TracingConfig
from relay.wire.endpoint import Endpoint
from signaling.selfsigned import keep_certificate, own_addresses, state_directory
from signaling.server import SignalingServer
from signaling.settings import DoorSettings
from signaling.tls import TlsFiles

_log = logging.getLogger(__name__)

_OWN_CERTIFICATE = "self-signed.pem"


def signaling_server(
    listen: Endpoint,
    registry: Directory,
    settings: DoorSettings,
    *,
    regions: Path | None = None,
    dataplane: Callable[[], str] | None = None,
    metrics: Endpoint | None = None,
    tracing: TracingConfig | None = None,
) -> SignalingServer:
    """Signaling behind its front door.

    Args:
        listen: Where it listens.
        registry: The transceivers to place calls on and the relays to advertise.
        settings: Who gets in, and how.
        regions: Where clients are.
        dataplane: What forwards at a relay that runs in this process; None where none does.
        metrics: Where metrics are served; None for nowhere.
        tracing: Where spans are sent; None for nowhere.

    Raises:
        ConfigError: Settings do not go together, or a file cannot be used.
    """
    require_closed(listen, settings)
    return SignalingServer(
        listen,
        registry,
        random=SystemRandom(),
        proxies=settings.proxies,
        region_header=settings.region_header,
        keys_file=settings.keys_file,
        secret_file=settings.secret_file,
        tls=_tls(listen, settings),
        whip=settings.whip,
        regions=regions,
        dataplane=dataplane,
        metrics=metrics,
        tracing=tracing,
    )


def require_closed(listen: Endpoint, settings: DoorSettings) -> None:
    """Make sure that not everybody may call by oversight.

    Raises:
        ConflictError: Everybody may who reaches the address, and nobody has said that he should.
    """
    if settings.keys_file or settings.open or ip_address(listen.host).is_loopback:
        return
    raise ConflictError(
        Conflict(
            f"everybody who reaches {listen} could call, for there are no API keys",
            (
                "make some with `icelane keys api new` and name their file with {keys_file}",
                "say with {open} that everybody may",
                "listen on 127.0.0.1",
            ),
        )
    )


def require_free(address: Endpoint, kind: socket.SocketKind, purpose: str, option: str) -> None:
    """Make sure that an address can be had, before much is begun that wants it.

    Args:
        address: The transport address.
        kind: Of the socket: SOCK_STREAM or SOCK_DGRAM.
        purpose: What it is for.
        option: With what another one is chosen.

    Raises:
        BindError: It cannot; the text says why.
    """
    with socket.socket(address.family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise bind_error(address, purpose, error, option) from None


def visible_url(listen: Endpoint, settings: DoorSettings) -> str:
    """The URL of the page as a person opens it: an address that a browser can reach."""
    scheme = "https" if settings.tls_cert or settings.tls_self_signed else "http"
    address = ip_address(listen.host)
    if address.is_unspecified and scheme == "https":
        own = own_addresses()
        return f"{scheme}://{Endpoint(own[0], listen.port) if own else f'localhost:{listen.port}'}"
    # Browsers give the microphone to pages of localhost without HTTPS.
    local = address.is_unspecified or listen.host == "127.0.0.1"
    return f"{scheme}://{f'localhost:{listen.port}' if local else listen}"


def show_to_phones(listen: Endpoint, settings: DoorSettings) -> None:
    """Print the URL for the camera of a phone, where a person looks at the output."""
    if not settings.tls_self_signed:
        return
    if ip_address(listen.host).is_loopback:
        _log.info(
            "only this host reaches %s: for a phone, add --listen 0.0.0.0:%d", listen, listen.port
        )
    elif sys.stdout.isatty():
        print(qr_code(visible_url(listen, settings)), flush=True)


def qr_code(text: str) -> str:
    """A text as a QR code of block characters, two rows in each line; dark on light."""
    import segno

    rows = [list(row) for row in segno.make(text, micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    # A terminal is mostly dark, and readers want dark on light: what is light is drawn.
    blocks = {(0, 0): "\N{FULL BLOCK}", (0, 1): "\N{UPPER HALF BLOCK}"}
    blocks |= {(1, 0): "\N{LOWER HALF BLOCK}", (1, 1): " "}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join(
        "".join(blocks[bool(top), bool(bottom)] for top, bottom in zip(*pair, strict=True))
        for pair in pairs
    )


def require_one_certificate(settings: DoorSettings) -> None:
    """Make sure that at most one certificate is named, and with its key.

    Raises:
        ConflictError: There are two, or a half.
    """
    if settings.tls_self_signed and (settings.tls_cert or settings.tls_key):
        raise ConflictError(
            Conflict(
                "there are two certificates to serve with",
                ("leave {tls_self_signed}", "leave {tls_cert} and {tls_key}"),
            )
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConflictError(
            Conflict(
                "a certificate and its key go together", ("name both, {tls_cert} and {tls_key}",)
            )
        )


def _tls(listen: Endpoint, settings: DoorSettings) -> TlsFiles | None:
    require_one_certificate(settings)
    if settings.tls_self_signed:
        path = state_directory(os.environ) / _OWN_CERTIFICATE
        keep_certificate(path, _hosts(listen), datetime.now(UTC))
        return TlsFiles(path, path)
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key)


def _hosts(listen: Endpoint) -> list[str]:
    """What a browser may call this host."""
    local = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    given = [] if ip_address(listen.host).is_unspecified else [listen.host]
    return list(dict.fromkeys([*local, *given, *own_addresses()]))
