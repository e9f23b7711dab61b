"""The files of a relay that is measured: keys, a registry with one transceiver, configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from relay.config.privatefiles import write_private
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target

Setting = str | int | Sequence[str]


def write_relay_files(
    directory: Path,
    keys: KeyRing,
    target: Target,
    transceiver: Endpoint,
    settings: Mapping[str, Setting],
) -> Path:
    """Write them; gives the path of the configuration.

    Args:
        directory: Where they go, and the admin socket.
        keys: The keys that routes are signed with.
        target: The transceiver in routes.
        transceiver: Its transport address.
        settings: The configuration by key, but for what is in the other files.
    """
    keys_file, registry = directory / "keys.toml", directory / "registry.toml"
    write_private(keys_file, keys.dumps().encode())
    registry.write_text(
        f"[[transceiver]]\ncluster = {target.cluster}\nslot = {target.slot}\n"
        f'generation = {target.generation}\naddress = "{transceiver}"\n',
        encoding="ascii",
    )
    files = {"keys": keys_file, "registry": registry, "admin": directory / "admin.sock"}
    everything = {**settings, **{name: str(path) for name, path in files.items()}}
    config = directory / "relay.toml"
    # Strings, numbers and lists of strings are alike in TOML and Python, but for the quotes.
    text = "".join(f"{name} = {value!r}\n" for name, value in everything.items())
    config.write_text(text, encoding="ascii")
    return config
