"""Put a relay together from its settings, and run it."""

from collections.abc import Mapping
from pathlib import Path

from relay.admin import AdminError, require_nobody
from relay.agent import Agent
from relay.cli.service import serve
from relay.config import ConfigError, RelayConfig
from relay.dataplane.base import DataplaneError
from relay.dataplane.choose import open_dataplane
from relay.registry import Registry, RegistryError
from relay.sockets import BindError
from relay.wire.errors import WireError
from relay.wire.keys import KeyRing

# What may go wrong, with a text for people.
ERRORS = (AdminError, BindError, ConfigError, DataplaneError, RegistryError, WireError)


async def run(path: Path | None, options: Mapping[str, object]) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        path: A TOML file of settings, or None.
        options: Settings that replace those of the file.

    Raises:
        Exception: One of `ERRORS`.
    """
    config = RelayConfig.load(path, options)
    keys, registry = KeyRing.load(config.keys), Registry.load(config.registry)
    require_nobody(config.admin_path)  # before its dataplane is touched
    dataplane = open_dataplane(config, keys, registry)
    agent = Agent(config, keys, registry, dataplane)
    vips = ", ".join(str(vip) for vip in config.vips)
    await serve(agent, f"ready: relay on {vips}, {agent.forwarder} dataplane")
