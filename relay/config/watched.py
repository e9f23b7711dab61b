"""Files that are read again when they change, without a restart."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from relay.errors import ConfigError

if TYPE_CHECKING:
    from relay.supervision import Supervisor  # it loads asyncio, which who only reads files saves

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
        trouble: Why they cannot be used now, while that is so.

    Raises:
        ConfigError: They cannot be used now.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], Content], what: str) -> None:
        self._paths = paths
        self._load = load
        self._what = what
        self._seen = self._state()  # before it is read: what changes meanwhile is seen as a change
        self.content = load()
        self.trouble: str | None = None

    async def look(self) -> None:
        """Read the files again if they have changed; if they cannot be used, it stays as it was."""
        state = self._state()
        # What cannot be used may be without a change: there was no file free to read it with.
        if state == self._seen and self.trouble is None:
            return
        try:
            self.content = self._load()
        except ConfigError as error:
            if str(error) != self.trouble:
                _log.error("%s: what was there before stays in force", error)
            self.trouble = str(error)
        except Exception as error:  # a bug, of which whoever looks takes note, and looks again
            self.trouble = f"{self._what} cannot be read: {type(error).__name__}"
            raise
        else:
            self.trouble = None
            _log.info("read %s again, which had changed", self._what)
        self._seen = state

    def _state(self) -> tuple[object, ...]:
        return tuple(map(_stamp, self._paths))


class Looked(Protocol):
    """What looks at files now and then."""

    @property
    def trouble(self) -> str | None:
        """Why they cannot be used now, while that is so."""

    async def look(self) -> None:
        """Read them again if they have changed."""


def keep_watching(supervisor: "Supervisor", name: str, files: Looked) -> None:
    """Look at files from now on, as a task of a supervisor, which fails while they cannot be used.

    Args:
        supervisor: Whose task it is.
        name: What people call it.
        files: The files.
    """
    supervisor.start(
        name, files.look, essential=False, every=INTERVAL, trouble=lambda: files.trouble
    )


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size
