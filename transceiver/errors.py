"""What can go wrong in a transceiver.

TransceiverError
├── StartError      it cannot start
├── OfferError      this offer cannot be answered, by this transceiver or another
├── FullError       there is no room for another session
└── ControlApiError an answer of the control API other than success
"""

from relay.errors import TransceiverError


class StartError(TransceiverError):
    """The transceiver cannot start; the text says what to do."""


class OfferError(TransceiverError):
    """An offer cannot be answered; the text says why.

    Args:
        message: For the client's developer.
        code: One word for programs.
    """

    def __init__(self, message: str, code: str = "invalid_sdp") -> None:
        super().__init__(message)
        self.code = code


class FullError(TransceiverError):
    """There is no room for another session, or the transceiver is stopping."""


class ControlApiError(TransceiverError):
    """An answer of the control API other than success.

    Args:
        status: The HTTP status.
        code: One word for programs.
        message: For people.
        headers: More headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers
