"""What can go wrong in a transceiver.

IcelaneError
└── TransceiverError        relay.errors
    ├── OfferError          this offer cannot be answered, by this transceiver or another
    ├── ModelError          nothing here is the model that was asked for, or not for this client
    ├── FullError           it takes no more sessions: at capacity, draining or behind
    │   └── ShareTakenError it takes no more of this client, until some are connected
    └── ControlApiError     an error response of the control API

An address that it cannot listen on is a `relay.errors.BindError`.
"""

from relay.errors import TransceiverError


class OfferError(TransceiverError):
    """An offer cannot be answered; the text says why.

    Args:
        message: For the client's developer.
        code: One word for programs.
    """

    def __init__(self, message: str, code: str = "invalid_sdp") -> None:
        super().__init__(message)
        self.code = code


class ModelError(TransceiverError):
    """There is no such model here, or this client may not use it."""


class FullError(TransceiverError):
    """The transceiver takes no more sessions: it is at capacity, draining, or behind."""


class ShareTakenError(FullError):
    """Too many calls of one client are not connected yet."""


class ControlApiError(TransceiverError):
    """An error response of the control API.

    Args:
        status: The HTTP status.
        code: One word for programs.
        message: For people.
        headers: Additional headers of the response.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers
