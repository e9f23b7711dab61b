"""What each service makes of its settings before it serves, for `icelane config check`."""

from collections.abc import Callable, Mapping

from relay.cli.configcheck import Uses
from relay.cli.tree import UpSettings
from relay.config.keyfile import EdgeKeyFiles, load_keys
from relay.run.settings import RelaySettings
from relay.wire.keysource import Role
from signaling.settings import DoorSettings, SignalingSettings
from transceiver.settings import AnsweringSettings, TransceiverSettings


def check_uses(uses: Uses, environment: Mapping[str, str]) -> None:
    """Do what a service does with its settings at a start, and note what cannot be done.

    Nothing is listened on, asked or written. What files are not there is noted, too.
    """
    checks: list[tuple[type | tuple[type, ...], Callable[[Uses, Mapping[str, str]], None]]] = [
        (RelaySettings, _relay),
        (TransceiverSettings, _transceiver),
        (AnsweringSettings, _answering),
        (SignalingSettings, _signaling),
        (UpSettings, _up),
        (DoorSettings, _door),
        ((RelaySettings, TransceiverSettings, SignalingSettings, UpSettings), _traced),
    ]
    for kind, look in checks:
        if isinstance(uses.settings, kind):
            look(uses, environment)


def _relay(uses: Uses, _: Mapping[str, str]) -> None:
    settings: RelaySettings = uses.settings
    uses.attempt(settings.config)
    registry, keys = uses.is_there("registry"), uses.is_there("keys")
    edges = uses.is_there("edge_keys")
    try:
        config = settings.config()
    except ValueError:  # which has been noted
        return
    if registry:
        uses.attempt(config.directory)
    if keys:
        uses.attempt(lambda: load_keys(settings.keys, Role.RELAY, settings.cluster))
    if edges:
        uses.attempt(lambda: EdgeKeyFiles(settings.edge_keys))


def _transceiver(uses: Uses, _: Mapping[str, str]) -> None:
    settings: TransceiverSettings = uses.settings
    uses.attempt(settings.each_worker)
    if uses.is_there("keys"):
        uses.attempt(lambda: load_keys(settings.keys, Role.TRANSCEIVER, [settings.cluster]))


def _answering(uses: Uses, environment: Mapping[str, str]) -> None:
    from transceiver.bridge.table import Table
    from transceiver.webhook import WebhookConfig

    settings = uses.settings
    if uses.is_there("backends"):
        own = None if isinstance(settings, UpSettings) and settings.backend == "agent" else settings
        choice = own.backend if own is not None else None
        uses.attempt(lambda: Table.of(choice, settings.backends, environment))
    if uses.is_there("webhook_secret_file"):
        secrets = settings.webhook_secret_file
        uses.attempt(lambda: WebhookConfig.of(settings.webhook, secrets, environment))


def _signaling(uses: Uses, _: Mapping[str, str]) -> None:
    from relay.cli.signaling import known_directory
    from signaling.regions import Regions

    settings: SignalingSettings = uses.settings
    if uses.is_there("registry"):
        uses.attempt(lambda: known_directory(settings))
    if settings.redis is not None and settings.keys is not None and uses.is_there("keys"):
        keys = settings.keys
        uses.attempt(lambda: load_keys(keys, Role.SIGNALING, settings.cluster))
    if settings.regions is not None and uses.is_there("regions"):
        regions = settings.regions
        uses.attempt(lambda: Regions.load(regions))


def _up(uses: Uses, _: Mapping[str, str]) -> None:
    from relay.cli.allinone import require_interface

    uses.attempt(lambda: require_interface(uses.settings))


def _door(uses: Uses, _: Mapping[str, str]) -> None:
    from relay.cli.door import require_closed, require_one_certificate
    from signaling.auth.privatefiles import load_api_keys, load_secrets
    from signaling.tls import Certificate, TlsFiles

    settings = uses.settings
    uses.attempt(lambda: require_closed(settings.listen, settings))
    uses.attempt(lambda: require_one_certificate(settings))
    if uses.is_there("keys_file") and settings.keys_file is not None:
        uses.attempt(lambda: load_api_keys(settings.keys_file))
    if uses.is_there("secret_file") and settings.secret_file is not None:
        uses.attempt(lambda: load_secrets(settings.secret_file))
    pair = settings.tls_cert, settings.tls_key
    if uses.is_there("tls_cert", "tls_key") and None not in pair:
        uses.attempt(lambda: Certificate(TlsFiles(*pair)))


def _traced(uses: Uses, environment: Mapping[str, str]) -> None:
    from relay.tracing.config import TracingConfig

    settings = uses.settings
    uses.attempt(lambda: TracingConfig.of(settings.tracing, settings.tracing_ratio, environment))
