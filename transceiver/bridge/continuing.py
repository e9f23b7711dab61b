"""Which session of its service a call goes on with, at each connection to it; pure.

See `transceiver.resume`.
"""

from transceiver.resume import KEEP, RESUME


class Continuing:
    """What a call's connections to its service say, one after another.

    Args:
        resume: The name of the session that the call goes on with; None for a new one.
        keep: The name under which its own session is to be kept; None if it is not.
    """

    def __init__(self, resume: str | None = None, keep: str | None = None) -> None:
        self._resume = resume
        self._keep = keep

    def headers(self) -> dict[str, str]:
        """What the next handshake says."""
        named = {RESUME: self._resume, KEEP: self._keep}
        return {header: name for header, name in named.items() if name is not None}

    def connected(self) -> None:
        """A connection was made: the next one goes on with what this one has begun."""
        self._resume = self._keep
