"""The files of API keys and of server secrets, which nobody but their owner reads."""

from collections.abc import Callable
from pathlib import Path

from relay.config.privatefiles import locked, require_private, write_private
from relay.config.toml import read_toml
from relay.errors import ConfigError
from relay.files import unreadable, unwritable
from signaling.auth.apikeys import ApiKeyError, ApiKeys

#: Bytes that a server secret has at least: as many as SHA-256 makes of it.
LEAST_SECRET = 32


def load_api_keys(path: Path) -> ApiKeys:
    """Read a file of API keys.

    Raises:
        ConfigError: It cannot be read or used, or others can read it.
    """
    remedy = "make one with `icelane keys api new`"
    require_private(path, "file of API keys", missing=remedy)
    document = read_toml(path, "file of API keys", error=ApiKeyError, remedy=remedy)
    try:
        return ApiKeys.of(document)
    except ApiKeyError as error:
        raise ApiKeyError(
            *(f"file of API keys {path}: {each}" for each in error.problems)
        ) from None


def load_secrets(path: Path) -> tuple[bytes, ...]:
    """Read the secrets that sign client secrets: one in each line, of which the first one signs.

    Raises:
        ConfigError: There is none, one is short, the file cannot be read, or others can read it.
    """
    what = "file of server secrets"
    require_private(path, what, missing="write one with `openssl rand -hex 32`")
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {unreadable(error)}") from None
    if not lines or any(len(line) < LEAST_SECRET for line in lines):
        raise ConfigError(
            f"{what} {path} needs lines of at least {LEAST_SECRET} characters, the first of which "
            "signs: write one with `openssl rand -hex 32`"
        )
    return tuple(lines)


def change_api_keys(path: Path, change: Callable[[ApiKeys], ApiKeys]) -> None:
    """Change a file of API keys; who does so at the same time waits. It is made where it is not.

    Args:
        path: The file.
        change: Makes the new keys of the old ones.

    Raises:
        ConfigError: It cannot be read, used or written.
    """
    try:
        with locked(path.parent):
            keys = load_api_keys(path) if path.exists() else ApiKeys()
            write_private(path, change(keys).dumps().encode())
    except OSError as error:
        raise ApiKeyError(f"cannot write {path}: {unwritable(error)}") from None
