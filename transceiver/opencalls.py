"""Which calls there are, on disk: so that a transceiver that died leaves records of them.

Next to the file of records there is one for each slot, to which a line is added when a call begins
and when it ends. Whoever takes the slot next finds there what has begun and not ended.
"""

import errno
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from relay.errors import ConfigError
from relay.files import unwritable

#: Lines of ended calls that the file may have; then it is written anew.
MAX_ENDED = 1000
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE = 0o640

_log = logging.getLogger(__name__)


class OpenCalls:
    """The calls of a slot.

    Args:
        path: The file.

    Attributes:
        left: What a transceiver before this one had begun and not ended, the oldest first.

    Raises:
        ConfigError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, Mapping[str, Any]] = {}
        self._ended = 0
        self._is_well = True  # whether the file says what it should
        self.left = _left(path)
        try:
            self._write_anew()
        except OSError as error:
            raise ConfigError(f"cannot write open calls to {path}: {unwritable(error)}") from None

    def begin(self, call: Mapping[str, Any]) -> None:
        """A call has begun; its `id` names it."""
        self._open[str(call["id"])] = call
        self._note({"begin": call})

    def end(self, call_id: str) -> None:
        """A call has ended."""
        if self._open.pop(call_id, None) is None:
            return
        self._ended += 1
        self._note({"end": call_id})

    def close(self) -> None:
        """All calls have ended."""
        if not self._open:
            with suppress(OSError):
                self._path.unlink()

    def _note(self, line: Mapping[str, Any]) -> None:
        """Add a line; where an earlier one is missing or torn, write the file anew.

        Else the next line would be glued to a torn one, and a call would be left for ever whose end
        could not be written.
        """
        try:
            if self._is_well and self._ended <= MAX_ENDED:
                self._append(line)
            else:
                self._write_anew()
            self._is_well = True
        except OSError as error:
            if self._is_well:
                _log.error("open calls are not kept: %s: %s", self._path, unwritable(error))
            self._is_well = False

    def _append(self, line: Mapping[str, Any]) -> None:
        file = os.open(self._path, _FLAGS, _MODE)
        try:
            text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
            if os.write(file, text) < len(text):  # it is the next write that would tell why
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)

    def _write_anew(self) -> None:
        """The file with what is open now; it is there as a whole, or as it was."""
        new = self._path.with_name(f"{self._path.name}.new")
        lines = [json.dumps({"begin": each}) for each in self._open.values()]
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        try:
            with os.fdopen(file, "w", encoding="utf-8") as written:
                written.writelines(f"{line}\n" for line in lines)
            new.replace(self._path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        self._ended = 0


def _left(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    left: dict[str, dict[str, Any]] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # the last may be torn
            event = json.loads(line)
            if "begin" in event:
                left[event["begin"]["id"]] = dict(event["begin"])
            else:
                left.pop(event["end"], None)
    return list(left.values())
