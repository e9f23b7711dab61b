"""What can go wrong while a call is placed.

IcelaneError
└── SignalingError                 relay.errors
    ├── ApiError                   the error response that a client of the HTTP routes gets
    ├── ControlError               what the control API of a transceiver answered, or did not
    │   ├── OfferRejectedError     it cannot answer this offer, and no other transceiver could
    │   ├── SessionNotFoundError   it has no such session
    │   └── UnavailableError       it cannot serve now; another transceiver may
    │       ├── UnreachableError   it does not answer in time, or not as its API says
    │       └── BusyError          it is full or draining
    └── NoTransceiverError         no transceiver can take a session now
"""

from relay.errors import SignalingError


class ApiError(SignalingError):
    """An error response in the format of the OpenAI API.

    Attributes:
        status: The HTTP status.
        code: What is wrong, for programs.
        message: What is wrong and what to do, for people.
        param: The field of the request that is wrong, if it is one.
        headers: Headers of the response, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "type": kind,
                "code": self.code,
                "message": self.message,
                "param": self.param,
            }
        }


class ControlError(SignalingError):
    """A transceiver could not do what signaling asked for."""


class OfferRejectedError(ControlError):
    """The transceiver cannot answer this offer.

    Attributes:
        code: What is wrong with the offer, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SessionNotFoundError(ControlError):
    """The transceiver has no session of this id."""


class UnavailableError(ControlError):
    """This transceiver cannot serve now."""


class UnreachableError(UnavailableError):
    """The transceiver does not answer in time, or not as its control API says."""


class BusyError(UnavailableError):
    """The transceiver is full or draining.

    Attributes:
        retry_after: Seconds after which to try again, as the transceiver says.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoTransceiverError(SignalingError):
    """No transceiver can take a session now.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
