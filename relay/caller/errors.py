"""Why a call failed, and the exit codes of `icelane call` that tell."""

from enum import IntEnum

from relay.errors import IcelaneError


class Failure(IntEnum):
    """Exit codes of `icelane call`; 2 is left to wrong usage, as everywhere."""

    BAD_INPUT = 3
    SIGNALING_UNREACHABLE = 4
    SIGNALING_REFUSED = 5
    ICE_FAILED = 6
    DTLS_FAILED = 7
    NO_AUDIO = 8
    ENDED_EARLY = 9
    INTERRUPTED = 130  # as a shell reports SIGINT


class CallError(IcelaneError):
    """A call failed.

    Attributes:
        failure: What failed, which is the exit code.
    """

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.exit_code = int(failure)
