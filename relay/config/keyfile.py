"""Key files: a cluster's keys, in a TOML file that only its owner can read."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from relay.config.privatefiles import locked, require_private, write_private
from relay.config.toml import read_toml
from relay.config.watched import Watched
from relay.files import unwritable
from relay.wire.edgekeys import EdgeKeys
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role

_log = logging.getLogger(__name__)


def load_keys(path: Path, role: Role | None = None, clusters: Iterable[int] = ()) -> KeyRing:
    """Read a key file, as `icelane keys new` or `icelane keys export` writes it.

    Args:
        path: The file.
        role: Which service it is for, if its keys must do for one.
        clusters: For these.

    Raises:
        KeyFileError: The file cannot be read or used, or others can read it.
    """
    remedy = "make one with `icelane keys new`"
    require_private(path, "key file", error=KeyFileError, missing=remedy)
    document = read_toml(path, "key file", error=KeyFileError, remedy=remedy)
    try:
        ring = KeyRing.of(document)
        if role is not None:
            ring.require(role, clusters)
        if role is Role.EDGE:
            ring.require_only(role)  # an edge is in a place that is trusted less
    except KeyFileError as error:
        raise KeyFileError(f"key file {path}: {error}") from None
    return ring


def change_keys(path: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Change a key file; who does so at the same time waits.

    Returns:
        What it has now.

    Raises:
        KeyFileError: It cannot be read, changed or written.
    """
    try:
        with locked(path.parent):
            before = load_keys(path)
            try:
                changed = change(before)
            except KeyFileError as error:
                raise KeyFileError(f"key file {path}: {error}") from None
            write_private(path, changed.dumps().encode("ascii"))
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {unwritable(error)}") from None
    return changed


class KeyFile:
    """A key file that is read again when it changes, without a restart.

    Args:
        path: The file.
        role: Which service it is for.
        clusters: The clusters of which it must have keys.

    Attributes:
        ring: Its keys. It is the same ring for ever, and takes what the file says.

    Raises:
        KeyFileError: It cannot be used.
    """

    def __init__(self, path: Path, role: Role, clusters: Iterable[int]) -> None:
        load = partial(load_keys, path, role, tuple(clusters))
        self._watched = Watched([path], load, f"the key file {path}")
        self._taken = self._watched.content
        self.ring = self._taken.copy()
        self._told: list[Callable[[], None]] = []

    @property
    def trouble(self) -> str | None:
        """Why the file cannot be used now, while that is so."""
        return self._watched.trouble

    def on_change(self, told: Callable[[], None]) -> None:
        """Call this when the ring has taken other keys."""
        self._told.append(told)

    async def look(self) -> None:
        """Read the file again if it has changed; one that cannot be used changes nothing."""
        await self._watched.look()
        newer = self._watched.content
        if newer is self._taken:
            return
        self._taken = newer
        self.ring.take(newer)
        slots = ", ".join(map(str, sorted(newer.slots)))
        _log.info("key slots %s verify from now on, and %d signs", slots, newer.signing_slot)
        for told in self._told:
            told()


class EdgeKeyFiles:
    """The key files of an edge relay, one for each cluster elsewhere; they are read again, too.

    Args:
        paths: The files.

    Attributes:
        keys: Their keys, which are what the files say.

    Raises:
        KeyFileError: One cannot be used, or two are of one cluster.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [KeyFile(path, Role.EDGE, _cluster_of(path)) for path in paths]
        self.keys = EdgeKeys(each.ring for each in self._files)

    @property
    def trouble(self) -> str | None:
        """Why some of them cannot be used now, while that is so."""
        return "; ".join(each.trouble for each in self._files if each.trouble) or None

    async def look(self) -> None:
        """Read those again that have changed."""
        for each in self._files:
            await each.look()


def _cluster_of(path: Path) -> tuple[int, ...]:
    """The cluster of an export, of which the file must be for ever."""
    own = load_keys(path, Role.EDGE).cluster
    return () if own is None else (own.cluster,)
