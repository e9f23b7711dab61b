"""A record of each call that has ended: a line of JSON in a file (JSON Lines)."""

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relay.errors import ConfigError
from relay.files import unwritable

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE = 0o640  # who called when is not for everybody

_log = logging.getLogger(__name__)


#: What a record has that is known only when its call has ended by itself.
_OF_THE_END: dict[str, Any] = {
    "ended": None,
    "seconds": None,
    "steps": {},
    "rtp": {},
    "concealed_share": None,
    "jitter_seconds": None,
    "round_trip_seconds": None,
    "turns": None,
    "interruptions": None,
    "backend": {},
}


def brief_of(
    stats: Mapping[str, Any], call_id: str, transceiver: str, now: float
) -> dict[str, Any]:
    """What is known of a call while it goes on. Pure.

    Args:
        stats: Its statistics; see `Call.stats`.
        call_id: How its client knows it.
        transceiver: Where it is.
        now: Seconds since 1970.
    """
    return {
        "id": call_id,
        "transceiver": transceiver,
        "principal": stats["principal"],
        "region": stats["region"],
        "model": stats["model"],
        "client": stats["client"] or stats["path"],
        "started": _time(now - stats["age_seconds"]),
    }


def record_of_dead(brief: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a call whose transceiver died; nobody knows when, and how well it was."""
    return {**brief, **_OF_THE_END, "reason": "the transceiver died"}


def record_of(
    stats: Mapping[str, Any], call_id: str, transceiver: str, ended: float
) -> dict[str, Any]:
    """What is kept of a call. Pure.

    Args:
        stats: Its last statistics; see `Call.stats`.
        call_id: How its client knew it.
        transceiver: Where it was.
        ended: When it ended, in seconds since 1970.
    """
    audio, backend = stats["audio"], stats["backend"]
    return brief_of(stats, call_id, transceiver, ended) | {
        "ended": _time(ended),
        "seconds": stats["age_seconds"],
        "reason": stats["reason"],
        "steps": dict(stats["steps"]),
        "rtp": dict(stats["rtp"]),
        "concealed_share": audio.get("concealed_share"),
        "jitter_seconds": audio.get("jitter"),
        "round_trip_seconds": audio.get("round_trip"),
        "turns": backend.get("responses"),
        "interruptions": backend.get("interruptions"),
        "backend": dict(backend),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class RecordFile:
    """Appends records to a file, which may be moved away at any time.

    Args:
        path: The file; it is made if it is not there.

    Attributes:
        lost: How many records could not be written.

    Raises:
        ConfigError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self._path = path
        self._is_well = True
        try:
            os.close(os.open(path, _FLAGS, _MODE))
        except OSError as error:
            raise ConfigError(f"cannot write records to {path}: {unwritable(error)}") from None

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; one that cannot be written is lost, which is said once."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            written = self._append(line)
        except OSError as error:
            written = False
            if self._is_well:
                _log.error("records of calls are lost: %s: %s", self._path, unwritable(error))
        if not written:
            self.lost += 1
        self._is_well = written

    def _append(self, line: bytes) -> bool:
        # Opened each time: whoever rotates it need tell nobody. A line is one write, so that lines
        # of several processes do not mix.
        file = os.open(self._path, _FLAGS, _MODE)
        try:
            written = os.write(file, line)
            if written == len(line):
                return True
            with suppress(OSError):  # a part of a line, on a full disk
                _blank(file, written)
            _log.error("records of calls are lost: %s: the disk is full", self._path)
            return False
        finally:
            os.close(file)


def _blank(file: int, written: int) -> None:
    """Make blanks of what was just written to a file: before a record they are still JSON.

    It is not cut off: another worker may have added a record since, which would go with it.
    """
    end = os.lseek(file, 0, os.SEEK_CUR)  # of this very write, wherever it was added
    # Linux adds even what has a place of its own to the end of a file that is open for that.
    fcntl.fcntl(file, fcntl.F_SETFL, 0)
    os.pwrite(file, b" " * written, end - written)
