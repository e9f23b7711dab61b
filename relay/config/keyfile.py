"""Key files: the cluster's master keys, in a TOML file that only its owner can read."""

from pathlib import Path

from relay.config.toml import read_toml
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing


def load_keys(path: Path) -> KeyRing:
    """Read a key file, as `icelane keys new` writes it.

    Raises:
        KeyFileError: The file cannot be read or used.
    """
    remedy = "make one with `icelane keys new`"
    document = read_toml(path, "key file", error=KeyFileError, remedy=remedy)
    try:
        return KeyRing.of(document)
    except KeyFileError as error:
        raise KeyFileError(f"key file {path}: {error}") from None
