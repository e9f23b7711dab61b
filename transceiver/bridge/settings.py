"""What a service is told of a session: what the client asked for, so that it can be told again.

An update that a service refuses changes nothing there, so it must not be told again either: what
is asked for is kept apart until the service has said something about it.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from relay.jsontext import as_json, length
from transceiver.bridge.events import Fault

MAX_SIZE = 256 << 10  # bytes of JSON that are remembered of a session
_MAX_ASKED = 16  # updates that wait for their answer


class SessionSettings:
    """The updates of a session, put together.

    Args:
        session: What the client asked for when it placed its call.
        voice: Spoken with where the client asks for no voice.
    """

    def __init__(self, session: Mapping[str, Any], voice: str = "") -> None:
        self._told: dict[str, Any] = {}
        self._asked: deque[tuple[str, dict[str, Any]]] = deque()
        if voice:
            self._told = {"audio": {"output": {"voice": voice}}}
        self._told = _merged(self._told, _settable(session))

    def ask(self, event_id: str, session: Mapping[str, Any]) -> None:
        """The client asks for an update; `event_id` may be empty."""
        self._asked.append((event_id, _settable(session)))
        if len(self._asked) > _MAX_ASKED:
            self.confirm()

    def confirm(self) -> None:
        """The service has made an update: the first that waits, as it answers in order."""
        if self._asked:
            _, session = self._asked.popleft()
            self._told = _merged(self._told, session)

    def refuse(self, fault: Fault) -> None:
        """The service has refused something, perhaps an update."""
        about = fault.param.split(".")[0] == "session"
        for each in self._asked:
            if fault.event_id == each[0] and (fault.event_id or about):
                self._asked.remove(each)
                return

    def all(self) -> dict[str, Any] | None:
        """The session to tell; None where there is nothing to tell."""
        while self._asked:  # some services never say that they have made an update
            self.confirm()
        return {"type": "realtime", **self._told} if self._told else None


def _settable(session: Mapping[str, Any]) -> dict[str, Any]:
    """What of a session can be told: its model is that of the connection."""
    return {name: value for name, value in session.items() if name not in ("model", "id", "object")}


def _merged(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A session after an update, unless it would be too large: then as it was."""
    merged = _deep(old, new)
    try:
        size = length(as_json(merged))
    except (ValueError, RecursionError):
        return old
    return merged if size <= MAX_SIZE else old


def _deep(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Only `audio` and its two sides are made of parts; whatever else is given is whole."""
    merged = {**old, **new}
    for name in ("audio", "input", "output"):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            merged[name] = _deep(before, after)
    return merged
