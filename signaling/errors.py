"""What can go wrong while a call is placed.

SignalingError
├── ApiError             local: the answer that a client of the signaling routes gets
├── ControlError         remote: what the control API of a transceiver answered, or did not
│   ├── OfferRejected    the transceiver cannot answer this offer; another one could not either
│   ├── SessionUnknown   the transceiver has no such session
│   └── ControlFailed    this transceiver cannot serve now; another one may
│       ├── Unreachable  it does not answer in time, or answers nonsense
│       └── Busy         it is full
└── NoTransceiver        local: nobody can take a session now
"""

from relay.errors import SignalingError


class ApiError(SignalingError):
    """An error answer in the form of the OpenAI API.

    Attributes:
        status: The HTTP status.
        code: What is wrong, for programs.
        message: What is wrong and what to do, for people.
        param: The field of the request that is wrong, if it is one.
        headers: Headers that belong to the answer, such as Retry-After.
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
        """The JSON body of the answer."""
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
    """A transceiver did not do what signaling asked of it."""


class OfferRejected(ControlError):  # noqa: N818  # named after what happened, as its siblings
    """The transceiver cannot answer this offer.

    Attributes:
        code: What is wrong with the offer, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SessionUnknown(ControlError):  # noqa: N818  # named after what happened
    """The transceiver has no session of this id."""


class ControlFailed(ControlError):  # noqa: N818  # named after what happened
    """This transceiver cannot serve now."""


class Unreachable(ControlFailed):
    """The transceiver does not answer in time, or answers something that is not its API."""


class Busy(ControlFailed):
    """The transceiver is full.

    Attributes:
        retry_after: Seconds after which the transceiver suggests to ask again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoTransceiver(SignalingError):  # noqa: N818  # named after the condition
    """Nobody can take a session now.

    Attributes:
        retry_after: Seconds after which to ask again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
