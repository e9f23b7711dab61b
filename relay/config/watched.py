"""Files that are read again when they change, without a restart."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from relay.errors import ConfigError

Content = TypeVar("Content")

#: Seconds between two looks.
INTERVAL = 1.0

_log = logging.getLogger(__name__)


class Watched(Generic[Content]):
    """What is in files, as it was when they could last be used.

    Args:
        paths: The files.
        load: Reads them.
        what: What they are, for the log.

    Attributes:
        content: What they have.

    Raises:
        ConfigError: They cannot be used now.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], Content], what: str) -> None:
        self._paths = paths
        self._load = load
        self._what = what
        self._seen = self._state()  # before it is read: what changes meanwhile is seen as a change
        self.content = load()

    async def look(self) -> None:
        """Read the files again if they have changed; if they cannot be used, it stays as it was."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self.content = self._load()
        except ConfigError as error:
            _log.error("%s: what was there before stays in force", error)
        else:
            _log.info("read %s again, which had changed", self._what)

    def _state(self) -> tuple[object, ...]:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size
