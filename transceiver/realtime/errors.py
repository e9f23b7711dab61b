"""What a client's event can get wrong.

TransceiverError            relay.errors
└── EventError              an event of a client cannot be done; the session goes on
"""

from typing import Any

from relay.errors import TransceiverError

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class EventError(TransceiverError):
    """An event of a client cannot be done.

    Args:
        code: For programs; clients tell errors apart by it.
        message: For the client's developer.
        param: The field that is wrong, such as ``session.audio.input``; None if it is none.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def error_event(
    code: str,
    message: str,
    *,
    kind: str = INVALID_REQUEST,
    param: str | None = None,
    event_id: str | None = None,
) -> dict[str, Any]:
    """An `error` event without its own id.

    What is not known is left out: clients drop events in which it is null.

    Args:
        code: For programs.
        message: For people.
        kind: `INVALID_REQUEST` or `SERVER_ERROR`.
        param: The field that is wrong.
        event_id: The client's event that was wrong.
    """
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": {name: value for name, value in error.items() if value}}
