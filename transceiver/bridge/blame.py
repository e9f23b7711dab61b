"""Whose event a service complains about: ours, of which the client knows nothing, or the client's.

Ours end and shorten what was interrupted, and tell a service what it has forgotten. It may have
ended that already, or know no such event; clients end at errors that they did not cause.
"""

from dataclasses import dataclass

from transceiver.bridge.events import CANCEL, CREATE, DELETE, TRUNCATE, Fault

#: Seconds in which a service complains.
PATIENCE = 10.0
MAX_KNOWN = 256

_CODES = {
    "response_cancel_not_active": CANCEL,
    "item_truncate_invalid_item_id": TRUNCATE,
    "item_delete_invalid_item_id": DELETE,
    "item_create_duplicate_item_id": CREATE,
}
_WORDS = {
    "cancellation failed": CANCEL,
    "already shorter": TRUNCATE,
    CANCEL: CANCEL,
    TRUNCATE: TRUNCATE,
    DELETE: DELETE,
    CREATE: CREATE,
}
#: What is true whoever caused it; the client has to know.
_FATAL = frozenset({"insufficient_quota", "invalid_api_key", "invalid_model", "session_expired"})
KINDS = frozenset({CANCEL, TRUNCATE, DELETE, CREATE})


@dataclass(frozen=True, slots=True)
class _Sent:
    kind: str
    event_id: str
    ours: bool
    at: float


class Blame:
    """Remembers events that may cause errors."""

    def __init__(self) -> None:
        self._sent: list[_Sent] = []

    def sent(self, kind: str, event_id: str, *, ours: bool, now: float) -> None:
        """An event of `KINDS` was sent; its id may be empty."""
        self._sent = [each for each in self._sent if now - each.at < PATIENCE]
        self._sent = [*self._sent[1 - MAX_KNOWN :], _Sent(kind, event_id, ours, now)]

    def is_ours(self, fault: Fault, now: float) -> bool:
        """Whether an error is about an event of ours.

        With the event's id that is plain. Without it, the error has to be about a kind of event of
        which only we have sent some lately.
        """
        if fault.code in _FATAL:
            return False
        fresh = [each for each in self._sent if now - each.at < PATIENCE]
        if fault.event_id:
            return any(each.ours and each.event_id == fault.event_id for each in fresh)
        kind = _kind(fault)
        owners = [each for each in fresh if each.kind == kind]
        if not owners or not all(each.ours for each in owners):
            return False
        self._sent.remove(owners[0])
        return True


def _kind(fault: Fault) -> str | None:
    """The kind of event that an error is about."""
    if fault.code in _CODES:
        return _CODES[fault.code]
    message = fault.message.lower()
    return next((kind for said, kind in _WORDS.items() if said in message), None)
