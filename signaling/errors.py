"""What can go wrong while a call is placed.

IcelaneError
└── SignalingError                 relay.errors
    ├── ApiError                   the error response that a client of the HTTP routes gets
    ├── FormError                  the body of a request is no form
    ├── FragmentError              the body of a request is no fragment of SDP
    ├── TokenError                 a client secret is none of ours, or has expired
    ├── SecretTooLongError         a session does not fit into a client secret
    ├── QuotaError                 a principal has done as much as he may
    ├── ControlError               what the control API of a transceiver answered, or did not
    │   ├── OfferRejectedError     this offer is bad: no transceiver could answer it
    │   ├── SessionNotFoundError   it has no such session
    │   ├── StaleError             ICE of the session was restarted since then
    │   ├── ModelRejectedError     it has no session for this model
    │   ├── UnavailableError       it did not take this call; another transceiver may
    │   │   ├── CallBrokeError     this call broke while it was being set up
    │   │   ├── UnreachableError   it cannot be connected to
    │   │   │   └── SlowError      it does not answer in time
    │   │   └── BusyError          it is full, draining or behind
    │   │       └── CrowdError     too many calls of this client wait there for their first check
    │   └── IllError               it failed a health check: nothing is placed there
    └── NoTransceiverError         no transceiver can take a session now

Only an IllError says something of the transceiver itself, and only a health check raises it, in
which there is nothing of a client.
"""

from http import HTTPStatus

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
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            kind = "rate_limit_error"
        else:
            kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "type": kind,
                "code": self.code,
                "message": self.message,
                "param": self.param,
            }
        }


class FormError(SignalingError):
    """A body is no form; the text says why."""


class FragmentError(SignalingError):
    """A body is no fragment of SDP; the text says why."""


class TokenError(SignalingError):
    """A client secret cannot be taken; the text says why."""


class SecretTooLongError(SignalingError):
    """A session does not fit into a client secret; the text says by how much."""


class QuotaError(SignalingError):
    """A principal has done as much as he may.

    Attributes:
        code: Of what, for programs.
        retry_after: Seconds after which he may try again.
    """

    def __init__(self, code: str, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


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


class StaleError(ControlError):
    """ICE of the session was restarted since the client learnt of it."""


class ModelRejectedError(ControlError):
    """The transceiver has no session for this model, and no other one will."""


class IllError(ControlError):
    """The transceiver failed a health check.

    Attributes:
        slow: It did not answer in time, which a busy one does not either; otherwise it cannot be
            connected to, or does not answer as its API says.
    """

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class UnavailableError(ControlError):
    """This transceiver did not take the call."""


class CallBrokeError(UnavailableError):
    """The transceiver failed on this call; that says nothing of the next one."""


class UnreachableError(UnavailableError):
    """The transceiver cannot be connected to, or does not answer in time."""


class SlowError(UnreachableError):
    """The transceiver does not answer in time."""


class BusyError(UnavailableError):
    """The transceiver is full, draining or behind.

    Attributes:
        retry_after: Seconds after which to try again, as the transceiver says.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CrowdError(BusyError):
    """Too many calls of this client have not sent a check yet."""


class NoTransceiverError(SignalingError):
    """No transceiver can take a session now.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
